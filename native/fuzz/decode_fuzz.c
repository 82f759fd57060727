/*
 * libFuzzer on the decoder: any bytes may be a plan, for undo lists and stored plans lie in files. What the decoder
 * accepts is then read as the ops read it: every text to its NUL, every list, every template, every nested plan. The
 * bytes are a block of their own, so that a read past either end is AddressSanitizer's.
 *
 *     node conformance/faults/fuzz.ts [SECONDS]      builds this, writes golden plans as seeds, and runs it
 */
#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include "../stage/stage.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed);

static const struct {
	const char *name;
	uint8_t side, argc;
	uint8_t kinds[WIRE_CELLS];
} table[OP_END] = {
#define X(name, code, side, argc, ...) [code] = {#name, side, argc, {__VA_ARGS__}},
	OPS(X)
#undef X
};

static int null_fd = -1;

static void use_list(struct stage *s, struct blob b) {
	uint32_t count = strv_count(s, b);
	char **texts = malloc((count + 1) * sizeof *texts);
	size_t length = 0;
	assert(texts);
	strv_fill(s, b, texts);
	for (uint32_t i = 0; i < count; i++) length += strlen(texts[i]) + 1;
	assert(!texts[count] && length == b.length);
	free(texts);
}

static void use(struct stage *s, int depth);

static void use_cell(struct stage *s, enum kind kind, uint64_t cell, int depth) {
	struct blob b;
	memcpy(&b, &cell, sizeof b);
	switch (kind) {
	case KIND_PATH:
		assert(b.length > 0);
		/* fall through */
	case KIND_TEXT:
		assert(strlen(text_of(s, b)) == b.length);
		break;
	case KIND_STRV:
		use_list(s, b);
		break;
	case KIND_TEMPLATE:
		assert(render(s, b, null_fd) == 0);
		break;
	case KIND_IDS:
	case KIND_BPF: {
		unsigned sum = 0;
		assert((uintptr_t)bytes_of(s, b) % 8 == 0);
		for (uint32_t i = 0; i < b.length; i++) sum += bytes_of(s, b)[i];
		assert(sum <= 255u * b.length);
		break;
	}
	case KIND_PLAN: {
		struct stage nested = {.shared = s->shared};
		/* As undo_of does: what was sound inside is sound alone. */
		assert(plan_check(&nested.plan, bytes_of(s, b), b.length, depth + 1) == 0);
		use(&nested, depth + 1);
		break;
	}
	case KIND_READS:
	case KIND_WRITES:
		assert(cell > 0 && cell < SLOTS);
		break;
	case KIND_MAYBE:
		assert(cell == WIRE_NO_SLOT || (cell > 0 && cell < SLOTS));
		break;
	case KIND_BOOL:
		assert(cell <= 1);
		break;
	case KIND_U64:
	case KIND_I64:
	case KIND_FLAGS:
		break;
	}
}

static void use(struct stage *s, int depth) {
	assert(depth <= 2);
	for (uint32_t i = 0; i < s->plan.steps; i++) {
		const struct record *r = &s->plan.records[i];
		assert(r->op < OP_END && table[r->op].name && strcmp(op_name(r->op), table[r->op].name) == 0);
		for (unsigned c = 0; c < table[r->op].argc; c++) use_cell(s, table[r->op].kinds[c], r->cells[c], depth);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
	static struct shared shared;
	struct stage s = {.shared = &shared, .log_fd = -1, .report_fd = -1, .slots_set = 1u << SLOT_PID, .slots = {[SLOT_PID] = ~0ull}};
	if (null_fd < 0) null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	unsigned char *exact = malloc(size ? size : 1);
	assert(exact);
	memcpy(exact, data, size);
	if (plan_check(&s.plan, exact, size, 0) == 0) {
		use(&s, 0);
		struct plan shorter;
		assert(size == 0 || plan_check(&shorter, exact, size - 1, 0) < 0);
	}
	free(exact);
	return 0;
}

/* The header counts what follows; most mutations would die of it alone, so it is put right, nested ones too, most of the time. */
static void fix(uint8_t *data, size_t size) {
	if (size < WIRE_HEADER) return;
	uint32_t magic = WIRE_MAGIC, length = (uint32_t)size, blobs;
	uint16_t version = WIRE_VERSION, steps;
	memcpy(&steps, data + 6, 2);
	if (WIRE_HEADER + (size_t)steps * WIRE_RECORD > size) steps = (uint16_t)((size - WIRE_HEADER) / WIRE_RECORD);
	blobs = (uint32_t)(size - WIRE_HEADER - (size_t)steps * WIRE_RECORD);
	memcpy(data, &magic, 4);
	memcpy(data + 4, &version, 2);
	memcpy(data + 6, &steps, 2);
	memcpy(data + 8, &blobs, 4);
	memcpy(data + 12, &length, 4);
	memset(data + 16, 0, 16);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max, unsigned seed) {
	size = LLVMFuzzerMutate(data, size, max);
	if (seed % 8) fix(data, size);
	return size;
}
