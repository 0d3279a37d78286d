/* SPDX-License-Identifier: MIT */

#include "ctl/json.h"

#include "support/suite.h"

static char *text;
static size_t size;

static void start(struct json *json)
{
        json_begin(json, open_memstream(&text, &size), "brokerctl.test/1");
}

static void expect(struct json *json, const char *expected)
{
        json_end(json);
        fclose(json->out);
        ck_assert_str_eq(text, expected);
        free(text);
}

START_TEST(members_have_names_and_items_have_none)
{
        struct json json;

        start(&json);
        json_number(&json, "a", -1);
        json_unsigned(&json, "b", UINT64_MAX);
        json_list(&json, "c");
        json_bool(&json, NULL, true);
        json_object(&json, NULL);
        json_close(&json);
        json_list(&json, NULL);
        json_null(&json, NULL);
        json_close(&json);
        json_close(&json);
        json_object(&json, "d");
        json_seconds(&json, "e", 0.25);
        json_close(&json);
        expect(&json,
               "{\"schema\":\"brokerctl.test/1\",\"a\":-1,\"b\":18446744073709551615,\"c\":[true,{},[null]],"
               "\"d\":{\"e\":0.250000}}\n");
}
END_TEST

START_TEST(text_is_a_string_on_one_line)
{
        struct json json;

        start(&json);
        json_bytes(&json, "a", BYTES_LITERAL("\"\\\n\0\x7f/\xc3\xa9\xf0\x9f\x98\x80"));
        json_string(&json, "b", "");
        expect(&json, "{\"schema\":\"brokerctl.test/1\",\"a\":\"\\\"\\\\\\u000a\\u0000\\u007f/"
                      "\xc3\xa9\xf0\x9f\x98\x80\","
                      "\"b\":\"\"}\n");
}
END_TEST

START_TEST(other_bytes_are_base64)
{
        struct json json;

        start(&json);
        json_bytes(&json, "a", BYTES_LITERAL("\xff"));
        json_list(&json, "b");
        json_bytes(&json, NULL, BYTES_LITERAL("\xff\xfe"));
        json_bytes(&json, NULL, BYTES_LITERAL("x\xc3"));
        json_bytes(&json, NULL, BYTES_LITERAL("\xff\xff\xff\xff\xff\xff"));
        json_close(&json);
        expect(&json,
               "{\"schema\":\"brokerctl.test/1\",\"a\":null,\"a_base64\":\"/w==\",\"b\":[{\"base64\":\"//4=\"},"
               "{\"base64\":\"eMM=\"},{\"base64\":\"////////\"}]}\n");
}
END_TEST

static void add(TCase *cases)
{
        tcase_add_test(cases, members_have_names_and_items_have_none);
        tcase_add_test(cases, text_is_a_string_on_one_line);
        tcase_add_test(cases, other_bytes_are_base64);
}

int main(void)
{
        return suite_run("json", add);
}
