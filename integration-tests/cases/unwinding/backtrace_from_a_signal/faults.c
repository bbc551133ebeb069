#include "faults.h"
#include <signal.h>
// A leaf without a frame, whose first instruction faults where that is possible: an address that is taken for one behind a call would be another function's.
__asm__(".text\n.p2align 4\n.globl store\n.type store,@function\nstore:\n.cfi_startproc\nmovl $1, 0\nxorl %eax, %eax\nret\n.cfi_endproc\n.size store, .-store\n"
        ".globl divide\n.type divide,@function\ndivide:\n.cfi_startproc\nmovl $1, %eax\nxorl %edx, %edx\nxorl %ecx, %ecx\ndivl %ecx\nret\n.cfi_endproc\n.size divide, .-divide\n");
int length_of_fault(int signal) { return signal == SIGSEGV ? 11 : 2; }
int send_one(int kind) { return raise(SIGUSR1) + kind; }
int middle(int kind) {
    int (*const functions[])(int) = {send_one, store, divide};
    return functions[kind](kind) + 1;
}
