# shellcheck shell=sh disable=SC2154 # `here` comes from ../build
# How tiny.img is made from tiny.S; sourced by ../build, which gives `here`, `need` and `digest`.

tiny_needs() {
    need as binutils
    need ld binutils
    need objcopy binutils
}

tiny_digest() {
    digest "$here/build" "$here/tiny/image.sh" "$here/tiny/tiny.S"
}

tiny_image() { # FILE DEAF(0|1)
    as --32 --defsym "DEAF=$2" -o tiny.o "$here/tiny/tiny.S"
    ld -m elf_i386 -Ttext 0x7c00 -e _start -o tiny.elf tiny.o
    objcopy -O binary -j .text tiny.elf tiny.bin
    cp --no-preserve=mode tiny.bin "$1"
    truncate -s 1M "$1"
}
