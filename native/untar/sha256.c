/* SHA-256 (FIPS 180-4), portable, and with the SHA extensions of x86 where the CPU has them (seven times as fast). */
#include "untar.h"
#include <string.h>

static const uint32_t K[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5, 0xd807aa98, 0x12835b01, 0x243185be,
    0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174, 0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa,
    0x5cb0a9dc, 0x76f988da, 0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967, 0x27b70a85,
    0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85, 0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3,
    0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070, 0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f,
    0x682e6ff3, 0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};

/* The rest of the program is built for size. */
#ifdef __clang__
#define FAST
#else
#define FAST __attribute__((optimize("O2")))
#endif

static inline uint32_t rotr(uint32_t x, int n) {
	return x >> n | x << (32 - n);
}

FAST static void blocks_portable(uint32_t state[8], const uint8_t *data, size_t count) {
	for (; count; count--, data += 64) {
		uint32_t w[64], s[8];
		memcpy(s, state, sizeof s);
		for (int i = 0; i < 16; i++)
			w[i] = (uint32_t)data[4 * i] << 24 | (uint32_t)data[4 * i + 1] << 16 | (uint32_t)data[4 * i + 2] << 8 | data[4 * i + 3];
		for (int i = 16; i < 64; i++)
			w[i] = w[i - 16] + w[i - 7] + (rotr(w[i - 15], 7) ^ rotr(w[i - 15], 18) ^ w[i - 15] >> 3) +
			       (rotr(w[i - 2], 17) ^ rotr(w[i - 2], 19) ^ w[i - 2] >> 10);
		for (int i = 0; i < 64; i++) {
			uint32_t t1 = s[7] + (rotr(s[4], 6) ^ rotr(s[4], 11) ^ rotr(s[4], 25)) + ((s[4] & s[5]) ^ (~s[4] & s[6])) + K[i] + w[i];
			uint32_t t2 = (rotr(s[0], 2) ^ rotr(s[0], 13) ^ rotr(s[0], 22)) + ((s[0] & s[1]) ^ (s[0] & s[2]) ^ (s[1] & s[2]));
			memmove(s + 1, s, 7 * sizeof *s);
			s[4] += t1;
			s[0] = t1 + t2;
		}
		for (int i = 0; i < 8; i++) state[i] += s[i];
	}
}

#ifdef __x86_64__
#include <cpuid.h>
#include <immintrin.h>

/*
 * sha256rnds2 does two rounds on the state as two registers, ABEF and CDGH; sha256msg1 and msg2 make four words of the
 * schedule from the sixteen before (Intel SDM, volume 2, SHA256RNDS2).
 */
FAST __attribute__((target("sha,sse4.1"))) static void blocks_x86(uint32_t state[8], const uint8_t *data, size_t count) {
	const __m128i big_endian = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
	__m128i dcba = _mm_loadu_si128((const __m128i *)state), hgfe = _mm_loadu_si128((const __m128i *)(state + 4));
	__m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
	__m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);

	for (; count; count--, data += 64) {
		const __m128i abef_before = abef, cdgh_before = cdgh;
		__m128i w[4];
		for (int i = 0; i < 4; i++) w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * i)), big_endian);
#ifndef __clang__
#pragma GCC unroll 16
#endif
		for (int i = 0; i < 16; i++) {
			__m128i now = w[i & 3];
			__m128i rounds = _mm_add_epi32(now, _mm_loadu_si128((const __m128i *)(K + 4 * i)));
			cdgh = _mm_sha256rnds2_epu32(cdgh, abef, rounds);
			abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(rounds, 0x0e));
			if (i < 12) {
				/* w[t] = w[t-16] + s0(w[t-15]) + w[t-7] + s1(w[t-2]), four at a time */
				__m128i last = w[(i + 3) & 3];
				__m128i next = _mm_add_epi32(_mm_sha256msg1_epu32(now, w[(i + 1) & 3]), _mm_alignr_epi8(last, w[(i + 2) & 3], 4));
				w[i & 3] = _mm_sha256msg2_epu32(next, last);
			}
		}
		abef = _mm_add_epi32(abef, abef_before);
		cdgh = _mm_add_epi32(cdgh, cdgh_before);
	}
	__m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
	_mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
	_mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

static bool has_sha(void) {
	static int known = -1;
	if (known < 0) {
		unsigned a, b, c, d;
		bool sse = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_1) && (c & bit_SSSE3);
		known = sse && __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & bit_SHA);
	}
	return known;
}
#endif

static void blocks(uint32_t state[8], const uint8_t *data, size_t count) {
#ifdef __x86_64__
	if (has_sha()) {
		blocks_x86(state, data, count);
		return;
	}
#endif
	blocks_portable(state, data, count);
}

void sha256_init(struct sha256 *h) {
	static const uint32_t initial[8] = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
	memcpy(h->state, initial, sizeof initial);
	h->length = 0;
}

void sha256_update(struct sha256 *h, const void *data, size_t size) {
	const uint8_t *bytes = data;
	size_t held = h->length % 64;
	h->length += size;
	if (held) {
		size_t n = 64 - held < size ? 64 - held : size;
		memcpy(h->block + held, bytes, n);
		bytes += n;
		size -= n;
		if (held + n < 64) return;
		blocks(h->state, h->block, 1);
	}
	blocks(h->state, bytes, size / 64);
	if (size % 64) memcpy(h->block, bytes + (size - size % 64), size % 64);
}

void sha256_final(struct sha256 *h, uint8_t digest[32]) {
	uint64_t bits = h->length * 8;
	size_t held = h->length % 64;
	h->block[held++] = 0x80;
	if (held > 56) {
		memset(h->block + held, 0, 64 - held);
		blocks(h->state, h->block, 1);
		held = 0;
	}
	memset(h->block + held, 0, 56 - held);
	for (int i = 0; i < 8; i++) h->block[56 + i] = (uint8_t)(bits >> (56 - 8 * i));
	blocks(h->state, h->block, 1);
	for (int i = 0; i < 32; i++) digest[i] = (uint8_t)(h->state[i / 4] >> (24 - 8 * (i % 4)));
}
