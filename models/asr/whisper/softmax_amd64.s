#include "textflag.h"

// What sumExpGeneric is made of, in its order: -87, log2 e, 3<<22, ln 2 in two
// parts, then 1/7!, 1/6!, 1/5!, 1/4!, 1/3!, 1/2!, 1.
DATA exponential<>+0(SB)/4, $0xc2ae0000
DATA exponential<>+4(SB)/4, $0x3fb8aa3b
DATA exponential<>+8(SB)/4, $0x4b400000
DATA exponential<>+12(SB)/4, $0x3f318000
DATA exponential<>+16(SB)/4, $0xb95e8083
DATA exponential<>+20(SB)/4, $0x39500d01
DATA exponential<>+24(SB)/4, $0x3ab60b61
DATA exponential<>+28(SB)/4, $0x3c088889
DATA exponential<>+32(SB)/4, $0x3d2aaaab
DATA exponential<>+36(SB)/4, $0x3e2aaaab
DATA exponential<>+40(SB)/4, $0x3f000000
DATA exponential<>+44(SB)/4, $0x3f800000
GLOBL exponential<>(SB), RODATA|NOPTR, $48

// func sumExpAVX2(x *float32, n int, top float32) float64
// n is a multiple of 8, not 0. No fused operations: sumExpGeneric gives the same
// bits.
TEXT ·sumExpAVX2(SB), NOSPLIT, $0-32
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	VBROADCASTSS top+16(FP), Y15
	VBROADCASTSS exponential<>+0(SB), Y14
	VBROADCASTSS exponential<>+4(SB), Y13
	VBROADCASTSS exponential<>+8(SB), Y12
	VBROADCASTSS exponential<>+12(SB), Y11
	VBROADCASTSS exponential<>+16(SB), Y10
	VBROADCASTSS exponential<>+24(SB), Y8
	VBROADCASTSS exponential<>+28(SB), Y7
	VBROADCASTSS exponential<>+32(SB), Y6
	VBROADCASTSS exponential<>+44(SB), Y5
	VXORPD Y0, Y0, Y0
	VXORPD Y1, Y1, Y1

exploop:
	VMOVUPS (SI), Y2
	VSUBPS Y15, Y2, Y2
	VMAXPS Y2, Y14, Y2 // what is no number stays so
	VMULPS Y13, Y2, Y3
	VADDPS Y12, Y3, Y3
	VSUBPS Y12, Y3, Y4
	VPSLLD $23, Y3, Y3
	VPADDD Y5, Y3, Y3 // 2^n
	VMULPS Y11, Y4, Y9
	VSUBPS Y9, Y2, Y2
	VMULPS Y10, Y4, Y4
	VSUBPS Y4, Y2, Y2
	VBROADCASTSS exponential<>+20(SB), Y9
	VMULPS Y9, Y2, Y4
	VADDPS Y8, Y4, Y4
	VMULPS Y2, Y4, Y4
	VADDPS Y7, Y4, Y4
	VMULPS Y2, Y4, Y4
	VADDPS Y6, Y4, Y4
	VMULPS Y2, Y4, Y4
	VBROADCASTSS exponential<>+36(SB), Y9
	VADDPS Y9, Y4, Y4
	VMULPS Y2, Y4, Y4
	VBROADCASTSS exponential<>+40(SB), Y9
	VADDPS Y9, Y4, Y4
	VMULPS Y2, Y4, Y4
	VADDPS Y5, Y4, Y4
	VMULPS Y2, Y4, Y4
	VADDPS Y5, Y4, Y4
	VMULPS Y3, Y4, Y4
	VCVTPS2PD X4, Y2
	VEXTRACTF128 $1, Y4, X4
	VCVTPS2PD X4, Y4
	VADDPD Y2, Y0, Y0
	VADDPD Y4, Y1, Y1
	ADDQ $32, SI
	SUBQ $8, CX
	JNZ exploop

	VADDPD Y1, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VADDPD X1, X0, X0
	VUNPCKHPD X0, X0, X1
	VADDSD X1, X0, X0
	VZEROUPPER
	MOVSD X0, ret+24(FP)
	RET

// func highestAVX(x *float32, n int) float32
// n is a multiple of 32, not 0.
TEXT ·highestAVX(SB), NOSPLIT, $0-20
	MOVQ x+0(FP), SI
	MOVQ n+8(FP), CX
	VPCMPEQD X4, X4, X4
	VPSLLD $23, X4, X4 // -Inf
	VINSERTF128 $1, X4, Y4, Y4
	VMOVAPS Y4, Y0
	VMOVAPS Y4, Y1
	VMOVAPS Y4, Y2
	VMOVAPS Y4, Y3

highloop:
	VMOVUPS (SI), Y4
	VMOVUPS 32(SI), Y5
	VMOVUPS 64(SI), Y6
	VMOVUPS 96(SI), Y7
	VMAXPS Y0, Y4, Y0 // where Y4 is no number, Y0
	VMAXPS Y1, Y5, Y1
	VMAXPS Y2, Y6, Y2
	VMAXPS Y3, Y7, Y3
	ADDQ $128, SI
	SUBQ $32, CX
	JNZ highloop

	VMAXPS Y1, Y0, Y0
	VMAXPS Y3, Y2, Y2
	VMAXPS Y2, Y0, Y0
	VEXTRACTF128 $1, Y0, X1
	VMAXPS X1, X0, X0
	VMOVHLPS X0, X0, X1
	VMAXPS X1, X0, X0
	VMOVSHDUP X0, X1
	VMAXSS X1, X0, X0
	VZEROUPPER
	MOVSS X0, ret+16(FP)
	RET
