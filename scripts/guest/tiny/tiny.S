/*
 * tiny: the smallest guest that can be told to live, die and remember.
 *
 * A BIOS boot sector that loads the rest of itself, counts its boots on its own disk and then
 * obeys single characters from COM1. The commands are listed in ../README.md.
 * Not its job: interrupts of its own, protected mode, UEFI, machines without an ICH9 (-M q35).
 *
 * The disk, in sectors of 512 bytes:
 *   0 .. CODE_SECTORS-1   this program
 *   8                     its memory: 4 bytes boot counter (little endian), 1 byte stored character
 *
 * Assembled with `--defsym DEAF=1` it neither enables nor looks at the power button; with `--defsym CD=1` it is what
 * iso.S puts on a disc: loaded whole by the firmware, it has no disk and no memory, and has booted 0 times.
 */

        .code16
        .ifndef DEAF
        .set DEAF, 0
        .endif
        .ifndef CD
        .set CD, 0
        .endif

        .set COM1,            0x3f8
        .set UART_FIFO,       COM1 + 2        # FIFO control
        .set UART_LINE,       COM1 + 3        # line control
        .set UART_STATUS,     COM1 + 5        # line status
        .set HAS_BYTE,        0x01
        .set CAN_SEND,        0x20
        .set ALL_SENT,        0x40

        .set PCI_ADDRESS,     0xcf8
        .set PCI_DATA,        0xcfc
        .set LPC_PMBASE,      0x8000f840      # bus 0, device 31, function 0, register 0x40
        .set PM1_STATUS,      0               # offsets from the PM base
        .set PM1_ENABLE,      2
        .set PM1_CONTROL,     4
        .set POWER_BUTTON,    0x0100          # bit 8, in status and enable
        .set SLEEP_S5,        0x2001          # SLP_EN, SLP_TYP 0 (soft off on the ICH9), SCI_EN

        .set RESET_CONTROL,   0xcf9
        .set FULL_RESET,      0x06

        .set MEMORY_SECTOR,   8
        .set MEMORY,          0x9000          # where that sector is kept in RAM
        .set COUNTER,         MEMORY
        .set LETTER,          MEMORY + 4

        .globl _start
_start:
        ljmp $0, $1f                          # some firmware enters at 07c0:0000
1:      xorw %ax, %ax
        movw %ax, %ds
        movw %ax, %es
        movw %ax, %ss
        movw $0x7c00, %sp
        sti
        cld
        movb %dl, drive

        .if CD
        jmp main
        .endif
        movb $0x42, %ah                       # load what lies behind this sector
        movw $rest_packet, %si
        int $0x13
        jnc main
1:      hlt                                   # nothing to say it with: the printer is not loaded
        jmp 1b

drive:  .byte 0

        .balign 4
rest_packet:                                  # "disk address packet": size, sectors, offset, segment, LBA
        .byte 16, 0
        .word CODE_SECTORS - 1, 0x7e00, 0
        .quad 1
memory_packet:
        .byte 16, 0
        .word 1, MEMORY, 0
        .quad MEMORY_SECTOR

        .org 510
        .word 0xaa55

/* ---- second sector -------------------------------------------------------------------------- */

main:
        movw $UART_LINE, %dx                  # 8 bits, no parity, 1 stop bit
        movb $0x03, %al
        outb %al, %dx
        movw $UART_FIFO, %dx                  # a FIFO, so that a burst of commands is not lost
        movb $0x01, %al
        outb %al, %dx

        movl $LPC_PMBASE, %eax
        movw $PCI_ADDRESS, %dx
        outl %eax, %dx
        movw $PCI_DATA, %dx
        inl %dx, %eax
        andw $0xff80, %ax
        movw %ax, pm_base

        .if !DEAF
        movw pm_base, %dx
        addw $PM1_STATUS, %dx
        movw $POWER_BUTTON, %ax               # a press from before this boot is void (write 1 to clear)
        outw %ax, %dx
        addw $PM1_ENABLE - PM1_STATUS, %dx    # QEMU drops a press that is not enabled
        outw %ax, %dx
        .endif

        movl $0, COUNTER                      # for a disk that can't be read
        .if CD
        jmp 1f
        .endif
        movb $0x42, %ah
        call disk
        jc 1f
        incl COUNTER
        call save
1:      call say_ready

/* One turn: the button first, then one character, and sleep only when there was neither.
   So a command answered proves that the button was looked at before it. */
turn:
        .if !DEAF
        movw pm_base, %dx
        addw $PM1_STATUS, %dx
        inw %dx, %ax
        testw $POWER_BUTTON, %ax
        jnz pressed
        .endif
        call try_get
        jnz obey
        hlt                                   # until the timer of the BIOS ticks, 18 times a second
        jmp turn

        .if !DEAF
pressed:
        movw $text_button, %si
        call print
        jmp power_off
        .endif

obey:
        cmpb $'r', %al
        je reset
        cmpb $'p', %al
        je power_off
        cmpb $'t', %al
        je triple_fault
        cmpb $'h', %al
        je halt
        cmpb $'i', %al
        je again
        cmpb $'w', %al
        je write
        cmpb $'g', %al
        je show
        cmpb $'\r', %al                       # what a terminal or `echo` adds is no command
        je turn
        cmpb $'\n', %al
        je turn
        movw $text_unknown, %si
        call print_letter
        jmp turn

again:  call say_ready
        jmp turn

write:  call try_get                          # the character to keep
        jnz 1f
        hlt
        jmp write
1:      movb %al, LETTER
        call save
show:   movb LETTER, %al
        movw $text_data, %si
        call print_letter
        jmp turn

reset:  movw $text_reboot, %si
        call print
        call drain
        movw $RESET_CONTROL, %dx
        movb $FULL_RESET, %al
        outb %al, %dx
        jmp dead

power_off:
        movw $text_bye, %si
        call print
        call drain
        movw pm_base, %dx
        addw $PM1_CONTROL, %dx
        movw $SLEEP_S5, %ax
        outw %ax, %dx
        jmp dead

triple_fault:
        movw $text_fault, %si
        call print
        call drain
        lidt no_vectors                       # no room for any vector: fault, double fault, triple fault
        int3

halt:   movw $text_halt, %si
        call print
        call drain
dead:   cli
1:      hlt
        jmp 1b

/* ---- helpers -------------------------------------------------------------------------------- */

save:   movb $0x43, %ah                       # write the memory sector; falls into disk
/* AH = 0x42 read or 0x43 write the memory sector. Carry, and a line, when the disk refuses. */
disk:   movb $0, %al
        movb drive, %dl
        movw $memory_packet, %si
        int $0x13
        jnc 1f
        movw $text_disk, %si
        call print
        stc
1:      ret

/* The next character in AL and NZ, or Z when there is none. */
try_get:
        movw $UART_STATUS, %dx
        inb %dx, %al
        testb $HAS_BYTE, %al
        jz 1f
        movw $COM1, %dx
        inb %dx, %al                          # leaves the flags alone
1:      ret

drain:  movw $UART_STATUS, %dx
1:      inb %dx, %al
        testb $ALL_SENT, %al
        jz 1b
        ret

/* AL to the line. */
put:    pushw %dx
        pushw %ax
        movw $UART_STATUS, %dx
1:      inb %dx, %al
        testb $CAN_SEND, %al
        jz 1b
        popw %ax
        movw $COM1, %dx
        outb %al, %dx
        popw %dx
        ret

/* The text at SI, up to its NUL. */
print:  lodsb
        testb %al, %al
        jz 1f
        call put
        jmp print
1:      ret

/* The text at SI, the character in AL, end of line. */
print_letter:
        pushw %ax
        call print
        popw %ax
        call put
end_line:
        movw $text_end, %si
        jmp print

say_ready:
        movw $text_ready, %si
        call print
        movl COUNTER, %eax
        movl $10, %ebx
        xorw %cx, %cx
1:      xorl %edx, %edx                       # digits from the last, onto the stack
        divl %ebx
        pushw %dx
        incw %cx
        testl %eax, %eax
        jnz 1b
2:      popw %ax
        addb $'0', %al
        call put
        loop 2b
        jmp end_line

pm_base:      .word 0
no_vectors:   .word 0, 0, 0

text_ready:   .asciz "tiny: ready "
text_data:    .asciz "tiny: data "
text_unknown: .asciz "tiny: ? "
text_button:  .asciz "tiny: power button\r\n"
text_bye:     .asciz "tiny: bye\r\n"
text_reboot:  .asciz "tiny: reboot\r\n"
text_fault:   .asciz "tiny: triple fault\r\n"
text_halt:    .asciz "tiny: halt\r\n"
text_disk:    .asciz "tiny: disk error\r\n"
text_end:     .asciz "\r\n"

        .balign 512
        .set CODE_SECTORS, (. - _start) / 512

        # A program grown into its memory sector would have to move backwards here, and `as` refuses.
        .org MEMORY_SECTOR * 512              # what a new disk remembers
        .long 0
        .byte '-'
        .org (MEMORY_SECTOR + 1) * 512
