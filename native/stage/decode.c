/* The decoder: nothing is done before all of the plan was found sound. Fuzzed (native/fuzz/decode_fuzz.c). */
#include <string.h>
#include "stage.h"

struct spec {
	const char *name;
	uint8_t side, argc;
	uint8_t kinds[WIRE_CELLS];
};
static const struct spec specs[OP_END] = {
#define X(name, code, side, argc, ...) [code] = {#name, side, argc, {__VA_ARGS__}},
	OPS(X)
#undef X
};

const char *op_name(uint16_t op) { return op < OP_END && specs[op].name ? specs[op].name : "?"; }

/* A blob lies inside the area, aligned, and a NUL follows it. */
static bool blob_sound(const struct plan *p, uint32_t area, struct blob b)
{
	return b.offset % 8 == 0 && b.offset < area && b.length < area - b.offset && p->blobs[b.offset + b.length] == 0;
}

static bool template_sound(const unsigned char *t, uint32_t length)
{
	uint32_t at = 0;
	while (at < length) {
		if (t[at] == 0) {
			uint32_t n;
			if (length - at < 5)
				return false;
			memcpy(&n, t + at + 1, 4);
			if (n > length - at - 5)
				return false;
			at += 5 + n;
		} else {
			if (t[at] > 3 || length - at < 2 || t[at + 1] == 0 || t[at + 1] >= SLOTS)
				return false;
			at += 2;
		}
	}
	return true;
}

static bool cell_sound(const struct plan *p, uint32_t area, enum kind kind, uint64_t cell, int depth)
{
	struct blob b;
	struct plan nested;
	memcpy(&b, &cell, sizeof b);
	switch (kind) {
	case KIND_U64:
	case KIND_I64:
	case KIND_FLAGS:
		return true;
	case KIND_BOOL:
		return cell <= 1;
	case KIND_READS:
	case KIND_WRITES:
		return cell > 0 && cell < SLOTS;
	case KIND_MAYBE:
		return cell == WIRE_NO_SLOT || (cell > 0 && cell < SLOTS);
	case KIND_PATH:
	case KIND_TEXT:
		return blob_sound(p, area, b) && (kind == KIND_TEXT || b.length > 0) && !memchr(p->blobs + b.offset, 0, b.length);
	case KIND_STRV:
		return blob_sound(p, area, b) && (b.length == 0 || p->blobs[b.offset + b.length - 1] == 0);
	case KIND_IDS:
		return blob_sound(p, area, b) && b.length % 4 == 0 && b.length <= 4 * 65536;
	case KIND_TEMPLATE:
		return blob_sound(p, area, b) && template_sound(p->blobs + b.offset, b.length);
	case KIND_BPF:
		return blob_sound(p, area, b) && b.length % 8 == 0 && b.length > 0 && b.length <= 8 * 4096;
	case KIND_PLAN:
		return blob_sound(p, area, b) && plan_check(&nested, p->blobs + b.offset, b.length, depth + 1) == 0;
	}
	return false;
}

/* @returns 0, or -EINVAL. A plan holds plans for later verbs, whose undo list is a plan: three levels, no more. */
int plan_check(struct plan *out, const unsigned char *bytes, size_t length, int depth)
{
	struct { uint32_t magic; uint16_t version, steps; uint32_t blobs, length, reserved[4]; } header;
	_Static_assert(sizeof header == WIRE_HEADER, "the header is the wire's");
	if (depth > 2 || length < sizeof header || length > WIRE_MAX_SIZE || (uintptr_t)bytes % 8)
		return -EINVAL;
	memcpy(&header, bytes, sizeof header);
	if (header.magic != WIRE_MAGIC || header.version != WIRE_VERSION || header.steps > WIRE_MAX_STEPS || header.length != length)
		return -EINVAL;
	if (header.reserved[0] | header.reserved[1] | header.reserved[2] | header.reserved[3])
		return -EINVAL;
	size_t start = sizeof header + (size_t)header.steps * WIRE_RECORD;
	if (start > length || header.blobs != length - start)
		return -EINVAL;
	*out = (struct plan){(const struct record *)(bytes + sizeof header), bytes + start, bytes, header.steps, (uint32_t)length};
	for (uint32_t i = 0; i < header.steps; i++) {
		const struct record *r = &out->records[i];
		const struct spec *spec = r->op < OP_END ? &specs[r->op] : NULL;
		if (!spec || !spec->name || r->argc != spec->argc || r->reserved)
			return -EINVAL;
		if ((r->side != SIDE_PARENT && r->side != SIDE_CHILD) || !(spec->side & r->side))
			return -EINVAL;
		for (unsigned c = 0; c < WIRE_CELLS; c++)
			if (c < spec->argc ? !cell_sound(out, header.blobs, spec->kinds[c], r->cells[c], depth) : r->cells[c] != 0)
				return -EINVAL;
	}
	return 0;
}
