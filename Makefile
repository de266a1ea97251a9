# Thin: cargo and scripts/ do the work. Understood by GNU make and by FreeBSD's.

CARGO  ?= cargo
PREFIX ?= /usr/local
BINDIR  = $(DESTDIR)$(PREFIX)/bin
MANDIR  = $(DESTDIR)$(PREFIX)/share/man
CHYVES  = target/release/chyves

help:
	@echo "make setup      install what building and testing need, where it is missing (root)"
	@echo "make build      build the release binary, $(CHYVES) (static on Linux)"
	@echo "make test       every check and every test (root)"
	@echo "make demo       the main job on real guests, in a pool of its own (root)"
	@echo "make lint       format, clippy and shellcheck alone"
	@echo "make freebsd    link an executable for FreeBSD on Linux, below target/freebsd"
	@echo "make bench      what chyves adds to the bare zfs calls, as ratios (root)"
	@echo "make man        write the generated manual pages into man/"
	@echo "make install    install binary, manual pages, completion and service below DESTDIR and PREFIX ($(PREFIX))"
	@echo "make uninstall  remove what install put there"
	@echo "make clean      remove target/"

setup:
	scripts/setup

# What keeps the executable small: no tables for unwinding (see the script), and relocations in a table that packs them.
SMALL = -C link-arg=-Wl,-T,scripts/release.ld -C link-arg=-Wl,--no-eh-frame-hdr -C link-arg=-Wl,-z,pack-relative-relocs

# On Linux one static binary, which runs on any distribution; FreeBSD's libc is there wherever FreeBSD is.
build:
	@triple=$$(rustc -vV | sed -n 's/^host: //p'); \
	case $$triple in \
	*-linux-gnu) \
		RUSTFLAGS="$$RUSTFLAGS -C target-feature=+crt-static $(SMALL)" $(CARGO) build --release --locked --target $$triple && \
		mkdir -p target/release && cp target/$$triple/release/chyves $(CHYVES) ;; \
	*)	$(CARGO) build --release --locked ;; \
	esac

test:
	scripts/test

demo:
	scripts/demo

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets --locked -- -D warnings
	shellcheck -x .ci/run scripts/setup scripts/test scripts/demo scripts/guest/build

freebsd:
	scripts/build-freebsd

bench: build
	scripts/bench

man: build
	mkdir -p man
	$(CHYVES) dev properties >man/chyves-properties.7.new
	mv man/chyves-properties.7.new man/chyves-properties.7
	$(CHYVES) dev errors >man/chyves-errors.7.new
	mv man/chyves-errors.7.new man/chyves-errors.7

install: build
	install -d $(BINDIR)
	install -m 755 $(CHYVES) $(BINDIR)/chyves
	@case $$(uname -s) in \
	FreeBSD) from=chyves.rc to=etc/rc.d/chyves mode=555 ;; \
	*)	from=chyves.service to=lib/systemd/system/chyves.service mode=644 ;; \
	esac; \
	target="$(DESTDIR)$(PREFIX)/$$to"; \
	install -d "$${target%/*}" && sed "s|%%PREFIX%%|$(PREFIX)|g" service/$$from >"$$target" && chmod $$mode "$$target" && \
	echo "installed $$target"
	@for page in man/*.[1-9]; do \
		[ -e "$$page" ] || continue; \
		section=$(MANDIR)/man$${page##*.}; \
		install -d "$$section" && install -m 644 "$$page" "$$section/" || exit 1; \
		echo "installed $$section/$${page##*/}"; \
	done
	@for shell in bash zsh fish; do \
		case $$shell in \
		bash) to=share/bash-completion/completions/chyves ;; \
		zsh) to=share/zsh/site-functions/_chyves ;; \
		fish) to=share/fish/vendor_completions.d/chyves.fish ;; \
		esac; \
		target="$(DESTDIR)$(PREFIX)/$$to"; \
		install -d "$${target%/*}" && install -m 644 crates/cli/src/complete/scripts/chyves.$$shell "$$target" || exit 1; \
		echo "installed $$target"; \
	done

uninstall:
	rm -f $(DESTDIR)$(PREFIX)/share/bash-completion/completions/chyves $(DESTDIR)$(PREFIX)/share/zsh/site-functions/_chyves
	rm -f $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d/chyves.fish
	rm -f $(BINDIR)/chyves $(DESTDIR)$(PREFIX)/etc/rc.d/chyves $(DESTDIR)$(PREFIX)/lib/systemd/system/chyves.service
	@for page in man/*.[1-9]; do \
		[ -e "$$page" ] || continue; \
		rm -f "$(MANDIR)/man$${page##*.}/$${page##*/}"; \
	done

clean:
	$(CARGO) clean

.PHONY: help setup build test demo lint man install uninstall clean freebsd bench
