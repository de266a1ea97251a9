/*
 * tiny.iso: a disc that boots tiny, with nothing else on it: the few sectors that El Torito asks for, no file system.
 *
 * tiny-cd.bin is tiny.S assembled with `--defsym CD=1`. Sectors have 2048 bytes.
 */

        .set SECTOR, 2048
        .set CATALOG, 19
        .set PROGRAM, 20
        .set SECTORS, (finish - begin) / SECTOR

begin:

        .macro descriptor kind
        .byte \kind
        .ascii "CD001"
        .byte 1
        .endm

        .org 16 * SECTOR                      # the volume: by this a file is known to be a disc
        descriptor 1
        .org 16 * SECTOR + 80                 # its sectors, and their size, with the bytes in both orders
        .long SECTORS
        .byte SECTORS >> 24, SECTORS >> 16 & 255, SECTORS >> 8 & 255, SECTORS & 255
        .org 16 * SECTOR + 128
        .word SECTOR
        .byte SECTOR >> 8, SECTOR & 255
        .org 17 * SECTOR                      # the boot record
boot:   descriptor 0
        .ascii "EL TORITO SPECIFICATION"
        .org 17 * SECTOR + 0x47
        .long CATALOG
        .org 18 * SECTOR                      # the last descriptor
        descriptor 255

        .org CATALOG * SECTOR
        .byte 1, 0                            # validation, for x86
        .org CATALOG * SECTOR + 28
        .word 0x10000 - 0xaa55 - 1            # all words of this entry are 0 together
        .byte 0x55, 0xaa
        .byte 0x88, 0                         # bootable, no emulation
        .word 0, 0                            # to 07c0:0000
        .word (end - program) / 512
        .long PROGRAM

        .org PROGRAM * SECTOR
program:
        .incbin "tiny-cd.bin"
        .balign 512
end:
        .balign SECTOR
finish:
