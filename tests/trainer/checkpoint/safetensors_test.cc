#include "trainer/checkpoint/safetensors.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include "tests/trainer/checkpoint/memory_bytes.h"
#include "tests/trainer/checkpoint/tensor_test_util.h"

namespace berth::train {
namespace {

TensorFile parse(std::string bytes) { return parse_safetensors(memory_bytes(std::move(bytes), "m.safetensors")); }

std::string with_header(const std::string& header, const std::string& data) {
  std::string size(8, '\0');
  for (size_t i = 0; i < 8; ++i) size[i] = static_cast<char>(header.size() >> (8 * i) & 0xFF);
  return size + header + data;
}

TEST(Safetensors, ReadsWhatThePythonPackageWrote) {
  const TensorFile file = parse_safetensors(open_bytes(golden("python.safetensors")));
  EXPECT_EQ(file.metadata.at("format"), "pt");
  EXPECT_EQ(file.tensors.size(), 12u);
  for (const char* name : {"a.f32", "b.f16", "c.bf16", "d.f64", "l.parameter"}) {
    const auto values = read_values(file, name);
    EXPECT_EQ(values, named_values(name, static_cast<int64_t>(values.size()))) << name;
  }
  EXPECT_EQ(read_values(file, "f.scalar"), std::vector<float>{2.5f});
  EXPECT_EQ(read_values(file, "g.empty"), std::vector<float>{});
  EXPECT_EQ(file.find("e.ids")->dtype, DType::kI64);
  expect_refused([&] { read_values(file, "e.ids"); }, {"e.ids", "I64", "expected one of"});
}

TEST(Safetensors, WritesTheSameBytesInAnyOrder) {
  const std::vector<NamedShape> tensors{{"b", {2, 3}}, {"a", {}}, {"c", {0, 4}}};
  const std::string bytes = safetensors_bytes(tensors);
  EXPECT_EQ(bytes, safetensors_bytes({tensors[2], tensors[0], tensors[1]}));
  EXPECT_EQ(load_le<uint64_t>(bytes) % 8, 0u);
  const TensorFile file = parse(bytes);
  ASSERT_EQ(file.tensors.size(), 3u);
  EXPECT_EQ(file.metadata.at("format"), "pt");
  EXPECT_EQ(read_values(file, "b"), named_values("b", 6));
  EXPECT_EQ(file.find("c")->shape, (std::vector<int64_t>{0, 4}));
  EXPECT_EQ(file.find("d"), nullptr);
}

TEST(Safetensors, FloatsSurviveBitForBit) {
  const std::vector<float> values{0.f, -0.f, 1e-45f, std::numeric_limits<float>::infinity(), std::nanf("7"), -3.4e38f};
  std::string bytes;
  write_safetensors({{"x", DType::kF32, {6}, std::as_bytes(std::span(values))}}, [&](std::string_view piece) { bytes += piece; });
  const auto back = read_values(parse(bytes), "x");
  EXPECT_EQ(std::memcmp(back.data(), values.data(), sizeof(float) * values.size()), 0);
}

TEST(Safetensors, HalfPrecisionIsWidenedExactly) {
  const std::string data("\x00\x00\x01\x00\xff\x03\x00\x04\x00\xbc\xff\x7b\x00\x7c\x00\xfc", 16);
  const auto values = read_values(parse(with_header(R"({"h":{"dtype":"F16","shape":[8],"data_offsets":[0,16]}})", data)), "h");
  const float inf = std::numeric_limits<float>::infinity();
  EXPECT_EQ(values, (std::vector<float>{0, 0x1p-24f, 1023 * 0x1p-24f, 0x1p-14f, -1, 65504, inf, -inf}));
}

TEST(Safetensors, RefusesAMalformedHeaderByName) {
  const struct {
    std::string header, data, message;
  } cases[] = {
      {R"({"x":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}})", "1234", "[2] of F32 cannot lie at bytes 0 to 4"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}})", "1234", "cannot lie at bytes 4 to 0"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "123", "holds 3 bytes of data, its header speaks of 4"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "12345", "holds 5 bytes"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}})", "12345678", "begins at data byte 4, expected 0"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"y":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234",
       "overlap"},
      {R"({"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"x":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234",
       "\"x\" twice"},
      {R"({"x":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,0]}})", "", "expected a count"},
      {R"({"x":{"dtype":"F32","shape":[4611686018427387903,4],"data_offsets":[0,0]}})", "", "impossible shape"},
      {R"({"x":{"dtype":"F32","shape":[-1],"data_offsets":[0,0]}})", "", "expected a count, found -1"},
      {R"({"x":{"dtype":"F8_E4M3","shape":[1],"data_offsets":[0,1]}})", "1", "\"F8_E4M3\", which is not supported"},
      {R"({"x":{"dtype":"F32","shape":[1]}})", "1234", "must have dtype, shape and data_offsets"},
      {R"({"x":{"dtype":"F32","shape":[[[[1]]]],"data_offsets":[0,4]}})", "1234", "nested deeper than 3"},
      {R"({"__metadata__":{"a":1}})", "", "strings only"},
      {R"({"x":)", "", "not valid JSON"},
      {R"(["x"])", "", "does not begin like"},
  };
  for (const auto& c : cases) expect_refused([&] { parse(with_header(c.header, c.data)); }, {"m.safetensors", c.message});
  expect_refused([&] { parse("1234"); }, {"truncated"});
  expect_refused([&] { parse(std::string(8, '\xff')); }, {"claims a header of 18446744073709551615 bytes"});
  expect_refused([&] { parse(std::string("\x00\x01\0\0\0\0\0\0{}", 10)); }, {"the header takes 256 bytes"});
}

TEST(Safetensors, EveryTruncationIsRefused) {
  const std::string bytes = safetensors_bytes({{"a", {2, 2}}, {"b", {3}}});
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_TRUE(refused_or_read([&] { parse(bytes.substr(0, size)); })) << "cut to " << size;
  }
}

TEST(Safetensors, NoFlippedByteOfTheHeaderReadsOutsideTheFile) {
  const std::string bytes = safetensors_bytes({{"a", {2, 2}}, {"b", {3}}});
  const size_t header_end = 8 + load_le<uint64_t>(bytes);
  for (size_t at = 0; at < header_end; ++at) {
    for (int mask : {0x01, 0x04, 0x10, 0x80, 0xFF}) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ mask);
      refused_or_read([&] {
        const TensorFile file = parse(damaged);
        for (const TensorInfo& tensor : file.tensors) read_values(file, tensor.name);
      });
    }
  }
}

TEST(Safetensors, AFileThatIsNoneIsRefused) {
  expect_refused([] { open_bytes("/no/such/file"); }, {"/no/such/file", "cannot be read"});
  expect_refused([] { open_bytes("/tmp"); }, {"not a regular file"});
}

}  // namespace
}  // namespace berth::train
