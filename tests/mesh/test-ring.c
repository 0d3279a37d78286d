/* SPDX-License-Identifier: MIT */

#include "mesh/ring.h"

#include <string.h>

#include "support/suite.h"
#include "util/prng.h"

#define CAPACITY 4

static struct ring ring;
static struct ring_slot slots[CAPACITY];
static struct ring_writer w;
static struct ring_reader r;

static void setup(unsigned capacity)
{
        ring = (struct ring){ 0 };
        memset(slots, 0xa5, sizeof(slots)); /* content of fresh slots does not matter */
        ring_writer_init(&w, &ring, slots, capacity, 1000);
        ring_reader_init(&r, &ring, slots, capacity);
}

static bool push(uint32_t value)
{
        struct ring_slot *slot = ring_writer_reserve(&w, sizeof(value), false);

        if (!slot)
                return false;
        memcpy(ring_slot_fill(slot, 7, sizeof(value)), &value, sizeof(value));
        return true;
}

static uint32_t pop(void)
{
        struct ring_slot *slot;
        uint32_t value;

        ck_assert_uint_gt(ring_reader_available(&r), 0);
        slot = ring_reader_next(&r);
        ck_assert_uint_eq(slot->type, 7);
        ck_assert_uint_eq(slot->size, sizeof(value));
        memcpy(&value, ring_slot_data(slot), sizeof(value));
        ring_slot_done(slot);
        return value;
}

START_TEST(a_message_is_seen_once_published_not_before)
{
        setup(CAPACITY);
        ck_assert(push(1));
        ck_assert(push(2));
        ck_assert_uint_eq(ring_reader_available(&r), 0);
        ring_writer_publish(&w);
        ck_assert_uint_eq(ring_reader_available(&r), 2);
        ck_assert_uint_eq(pop(), 1);
        ck_assert_uint_eq(pop(), 2);
        ck_assert_uint_eq(ring_reader_available(&r), 0);
}
END_TEST

START_TEST(a_full_ring_takes_nothing_until_slots_are_released)
{
        setup(2);
        ck_assert(push(1));
        ck_assert(push(2));
        ck_assert(!push(3));
        ring_writer_publish(&w);
        ck_assert_uint_eq(ring_reader_available(&r), 2);
        ck_assert_uint_eq(pop(), 1);
        ck_assert(!push(3));
        ring_reader_release(&r);
        ck_assert(push(3));
        ck_assert(!push(4));
        ring_writer_publish(&w);
        ck_assert_uint_eq(pop(), 2);
        ck_assert_uint_eq(pop(), 3);
}
END_TEST

START_TEST(order_is_kept_over_any_interleaving_of_the_two_ends)
{
        struct prng prng = { 1 };
        uint32_t in = 0, out = 0;

        for (unsigned capacity = 1; capacity <= CAPACITY; capacity *= 2) {
                setup(capacity);
                in = out = 0;
                for (int turn = 0; turn < 3000; turn++) {
                        switch (prng_below(&prng, 4)) {
                        case 0:
                                in += push(in);
                                break;
                        case 1:
                                ring_writer_publish(&w);
                                break;
                        case 2:
                                if (ring_reader_available(&r))
                                        ck_assert_uint_eq(pop(), out++);
                                break;
                        case 3:
                                ring_reader_release(&r);
                                break;
                        }
                        ck_assert_uint_le(in - out, capacity);
                        ck_assert_uint_ge(ring_writer_used(&w), in - out);
                }
                ck_assert_uint_gt(out, 100);
        }
}
END_TEST

START_TEST(data_lies_in_the_slot_up_to_its_size_and_in_a_block_above)
{
        static const uint32_t sizes[] = { 0, 1, RING_INLINE_SIZE, RING_INLINE_SIZE + 1, 100000 };
        uint32_t n;

        setup(CAPACITY);
        for (unsigned i = 0; i < sizeof(sizes) / sizeof(*sizes); i++) {
                struct ring_slot *slot = ring_writer_reserve(&w, sizes[i], sizes[i] > RING_INLINE_SIZE);
                uint8_t *data = ring_slot_fill(slot, 9, sizes[i]);

                ck_assert_uint_eq((uintptr_t)data % 8, 0);
                ck_assert_int_eq(data == slot->data, sizes[i] <= RING_INLINE_SIZE);
                memset(data, (int)i, sizes[i]);
                ring_writer_publish(&w);
                ck_assert_uint_eq(ring_reader_available(&r), 1);
                slot = ring_reader_next(&r);
                ck_assert_uint_eq(slot->size, sizes[i]);
                data = ring_slot_data(slot);
                for (n = 0; n < sizes[i] && data[n] == i; n++)
                        ;
                ck_assert_uint_eq(n, sizes[i]);
                ring_slot_done(slot);
                ring_reader_release(&r);
        }
}
END_TEST

static bool push_block(uint32_t size)
{
        struct ring_slot *slot = ring_writer_reserve(&w, size, true);

        if (slot)
                ring_slot_fill(slot, 7, size);
        ring_writer_publish(&w);
        return slot;
}

static void pop_block(void)
{
        ck_assert_uint_gt(ring_reader_available(&r), 0);
        ring_slot_done(ring_reader_next(&r));
        ring_reader_release(&r);
}

/* The bound of bytes in blocks is 1000 here. Slots are reused all the time, small messages do not count. */
START_TEST(bytes_in_blocks_are_bounded_and_come_back_with_their_slots)
{
        setup(4);
        for (int i = 0; i < 1000; i++) {
                ck_assert(push_block(600));
                ck_assert(!push_block(401));
                ck_assert(push(1));
                ck_assert(push_block(400));
                ck_assert(!push_block(200));
                pop_block();
                ck_assert(!push_block(601));
                ck_assert(push_block(200));
                ck_assert_uint_eq(pop(), 1);
                pop_block();
                pop_block();
                ck_assert(push_block(5000)); /* a single one may be larger */
                ck_assert(!push_block(200));
                pop_block();
                if (i % 3 == 0) {
                        ck_assert(push(2));
                        ring_writer_publish(&w);
                        ck_assert_uint_eq(pop(), 2);
                }
        }
}
END_TEST

START_TEST(a_block_is_handed_over_without_a_copy)
{
        struct ring_block *block = ring_block_new(3, 5);
        struct ring_slot *slot;

        setup(CAPACITY);
        memcpy(block->data, "hello", 5);
        slot = ring_writer_reserve(&w, 5, true);
        ring_slot_adopt(slot, block);
        ring_writer_publish(&w);
        ck_assert_uint_eq(ring_reader_available(&r), 1);
        slot = ring_reader_next(&r);
        ck_assert_uint_eq(slot->size, 5);
        ck_assert_uint_eq(slot->type, 3);
        ck_assert_ptr_eq(ring_slot_data(slot), block->data);
        ring_slot_done(slot);
}
END_TEST

START_TEST(an_ask_for_space_is_taken_once)
{
        setup(CAPACITY);
        ck_assert(!ring_reader_take_ask(&r));
        ring_writer_ask_space(&w);
        ring_writer_ask_space(&w);
        ck_assert(ring_reader_take_ask(&r));
        ck_assert(!ring_reader_take_ask(&r));
        ring_writer_ask_space(&w);
        ck_assert(ring_reader_take_ask(&r));
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, a_message_is_seen_once_published_not_before);
        tcase_add_test(cases, a_full_ring_takes_nothing_until_slots_are_released);
        tcase_add_test(cases, order_is_kept_over_any_interleaving_of_the_two_ends);
        tcase_add_test(cases, data_lies_in_the_slot_up_to_its_size_and_in_a_block_above);
        tcase_add_test(cases, bytes_in_blocks_are_bounded_and_come_back_with_their_slots);
        tcase_add_test(cases, a_block_is_handed_over_without_a_copy);
        tcase_add_test(cases, an_ask_for_space_is_taken_once);
}

int main(void)
{
        return suite_run("ring", add);
}
