// JSON within limits: what is refused, how it is said, and what comes back out.
#include <gtest/gtest.h>

#include "data/check.h"
#include "data/json/members.h"

namespace berth::data {
namespace {

using nlohmann::json;
using nlohmann::ordered_json;

template <class Json = json>
std::string refusal(const std::string& text, const JsonLimits& limits = {}) {
  EXPECT_FALSE(find_json<Json>(text, limits).has_value());
  try {
    parse_json<Json>(text, "here/a.json", limits);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::kBadInput);
    EXPECT_TRUE(std::string(error.what()).starts_with("here/a.json: ")) << error.what();
    return error.what();
  }
  return "";
}

std::string nested(size_t depth, const std::string& open, const std::string& close) {
  std::string text, end;
  for (size_t i = 0; i < depth; ++i) text += open, end += close;
  return text + "1" + end;
}

TEST(Json, IsReadAsTheLibraryReadsIt) {
  const std::string text =
      R"({"b": [1, -2, 3.5, 1e3, 18446744073709551615], "a": {"x": null, "y": [true, false, "é\n"], "": {}}, "c": []})";
  EXPECT_EQ(parse_json(text, ""), json::parse(text));
  EXPECT_EQ(parse_json<ordered_json>(text, ""), ordered_json::parse(text));
  EXPECT_EQ(dump_json(parse_json<ordered_json>(text, "")), ordered_json::parse(text).dump());
  EXPECT_EQ(dump_json(parse_json(text, ""), 2), json::parse(text).dump(2));
  for (const char* scalar : {"1", "\"a\"", "null", " true "}) EXPECT_EQ(find_json(scalar), json::parse(scalar));
  EXPECT_EQ(parse_json(R"({"a": 1, "a": 2})", "")["a"], 2);
}

TEST(Json, DeepBracketsAreRefused) {
  for (const auto& [open, close] : {std::pair{"[", "]"}, std::pair{"{\"a\":", "}"}}) {
    EXPECT_EQ(dump_json(parse_json(nested(64, open, close), "")), nested(64, open, close));
    EXPECT_NE(refusal(nested(65, open, close)).find("nested deeper than 64"), std::string::npos);
    EXPECT_NE(refusal<ordered_json>(nested(1'000'000, open, close)).find("nested deeper"), std::string::npos);
    EXPECT_NE(refusal(nested(3, open, close), {.depth = 2}).find("nested deeper than 2"), std::string::npos);
  }
}

TEST(Json, TooLargeIsRefused) {
  EXPECT_NE(refusal("[1, 2, 3]", {.bytes = 8}).find("has 9 bytes, more than the 8"), std::string::npos);
  EXPECT_NE(refusal("[1, {}, 3]", {.values = 3}).find("more than 3 values"), std::string::npos);
  EXPECT_EQ(parse_json("[1, {}, 3]", "", {.values = 4}).size(), 3u);
}

TEST(Json, SaysWhereItIsWrongInFewWords) {
  EXPECT_NE(refusal("{\"a\": 1,\n \"b\" 2}").find("not valid JSON: parse error at line 2, column 6"), std::string::npos);
  EXPECT_NE(refusal("{\"loss\": NaN}").find("line 1, column 10"), std::string::npos);
  EXPECT_NE(refusal("[1e999]").find("not valid JSON"), std::string::npos);
  EXPECT_NE(refusal("[\"\xff\"]").find("not valid JSON"), std::string::npos);
  EXPECT_NE(refusal("[1] [2]").find("not valid JSON"), std::string::npos);
  EXPECT_NE(refusal("").find("not valid JSON"), std::string::npos);
  EXPECT_LT(refusal("[\"" + std::string(100'000, 'x')).size(), 400u);
}

// Equal keys of an object in order; and many keys are no quadratic work (the library's own reading of this takes minutes).
TEST(Json, ObjectsInOrder) {
  EXPECT_NE(refusal<ordered_json>(R"({"x": {"b": 1, "a": 2, "b": 3}})").find("the key \"b\" twice"), std::string::npos);
  std::string text = "{";
  constexpr int kKeys = 300'000;
  for (int i = 0; i < kKeys; ++i) text += (i > 0 ? ",\"" : "\"") + std::to_string(kKeys - i) + "\":0";
  const auto value = parse_json<ordered_json>(text + "}", "");
  EXPECT_EQ(value.size(), static_cast<size_t>(kKeys));
  EXPECT_EQ(value.begin().key(), std::to_string(kKeys));
}

TEST(Json, PrintsWhateverTextsHold) {
  EXPECT_EQ(dump_json(json{"a\xff"}), "[\"a\xEF\xBF\xBD\"]");
  EXPECT_EQ(dump_json(ordered_json{"é"}, -1, true), "[\"\\u00e9\"]");
}

TEST(ReadMember, IntegersAreNotMadeOfOtherNumbers) {
  const nlohmann::json object = {
      {"small", 200}, {"negative", -1}, {"large", 18446744073709551615u}, {"float", 1.0}, {"true", true}};
  uint8_t byte = 0;
  read_member(object, "small", byte);
  EXPECT_EQ(byte, 200);
  int8_t narrow = 0;
  EXPECT_THROW(read_member(object, "small", narrow), Error);
  uint64_t count = 0;
  read_member(object, "large", count);
  EXPECT_EQ(count, 18446744073709551615u);
  int64_t integer = 0;
  for (const char* key : {"large", "float", "true"}) EXPECT_THROW(read_member(object, key, integer), Error) << key;
  EXPECT_THROW(read_member(object, "negative", count), Error);
  EXPECT_THROW(read_member(object, "missing", integer), nlohmann::json::exception);
  bool flag = false;
  read_member(object, "true", flag);
  EXPECT_TRUE(flag);
  double number = 0;
  read_member(object, "negative", number);
  EXPECT_EQ(number, -1);
}

}  // namespace
}  // namespace berth::data
