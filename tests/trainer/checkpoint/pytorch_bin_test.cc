#include "trainer/checkpoint/pytorch_bin.h"

#include <gtest/gtest.h>

#include "tests/trainer/checkpoint/memory_bytes.h"
#include "tests/trainer/checkpoint/tensor_test_util.h"

namespace berth::train {
namespace {

TensorFile parse(std::string bytes) { return parse_pytorch_bin(memory_bytes(std::move(bytes), "m.bin")); }

class StateDict : public ::testing::TestWithParam<const char*> {};

TEST_P(StateDict, ReadsTypesStridesOffsetsAndSharedStorages) {
  const TensorFile file = parse_pytorch_bin(open_bytes(golden(GetParam())));
  ASSERT_EQ(file.tensors.size(), 12u);
  for (const char* name : {"a.f32", "b.f16", "c.bf16", "d.f64", "l.parameter"}) {
    const auto values = read_values(file, name);
    EXPECT_EQ(values, named_values(name, static_cast<int64_t>(values.size()))) << name;
  }
  EXPECT_EQ(file.find("e.ids")->dtype, DType::kI64);
  EXPECT_EQ(read_values(file, "f.scalar"), std::vector<float>{2.5f});
  EXPECT_EQ(read_values(file, "g.empty"), std::vector<float>{});
  const auto s = named_values("shared", 12);  // [4, 3]
  EXPECT_EQ(read_values(file, "h.shared"), s);
  EXPECT_EQ(file.find("i.transposed")->shape, (std::vector<int64_t>{3, 4}));
  EXPECT_EQ(read_values(file, "i.transposed"),
            (std::vector<float>{s[0], s[3], s[6], s[9], s[1], s[4], s[7], s[10], s[2], s[5], s[8], s[11]}));
  EXPECT_EQ(read_values(file, "j.rows"), (std::vector<float>{s[3], s[4], s[5], s[6], s[7], s[8]}));
  EXPECT_EQ(read_values(file, "k.column"), (std::vector<float>{s[1], s[4], s[7], s[10]}));
}

INSTANTIATE_TEST_SUITE_P(PytorchBin, StateDict, ::testing::Values("zip.bin", "legacy.bin", "plain_dict.bin"));

TEST(PytorchBin, ReadsAModulesStateDict) {
  const TensorFile file = parse_pytorch_bin(open_bytes(golden("module.bin")));
  ASSERT_EQ(file.tensors.size(), 4u);
  EXPECT_EQ(read_values(file, "0.weight"), named_values("0.weight", 6));
  EXPECT_EQ(read_values(file, "1.bias"), named_values("1.bias", 3));
}

TEST(PytorchBin, RefusesWhatIsNoStateDictByName) {
  expect_refused([] { parse_pytorch_bin(open_bytes(golden("whole_module.bin"))); },
                 {"torch.nn.modules.container Sequential", "refused"});
  expect_refused([] { parse_pytorch_bin(open_bytes(golden("not_only_tensors.bin"))); }, {"epoch is not a plain tensor"});
  expect_refused([] { parse(""); }, {"is empty"});
  expect_refused([] { parse("not a pickle at all"); }, {"m.bin", "unknown opcode"});
  expect_refused([] { parse("PK\3\4"); }, {"no zip directory"});
}

TEST(PytorchBin, RefusesHostilePickles) {
  const struct {
    std::string pickle, message;
  } cases[] = {
      {"cos\nsystem\n(X\4\0\0\0exittR.", "os system"},
      {"c__builtin__\neval\n.", "__builtin__ eval"},
      {std::string("\x80\x02}\x81.", 5), "NEWOBJ"},
      {std::string("\x80\x02}2.", 5), "DUP"},
      {std::string("\x80\x09.", 3), "pickle protocol 9"},
      {std::string("\x80\x02X\xff\xff\xff\xff.", 8), "ends too early"},
      {std::string("\x80\x02h\x05.", 5), "nothing remembered under 5"},
      {std::string("\x80\x02t.", 4), "no mark"},
      {std::string("\x80\x02R.", 4), "an empty stack"},
      {std::string("\x80\x02)(.", 5), "an empty stack"},
      {std::string("\x80\x02)Na.", 5), "takes none"},
      {std::string("\x80\x02NNR.", 6), "a call of something that is no function"},
      {std::string("\x80\x02N.", 4), "was not written by torch.save"},
  };
  for (const auto& c : cases) expect_refused([&] { parse(c.pickle); }, {"m.bin", c.message});
}

// Dicts made again and again from one shared list would take memory that grows with the square of the file.
TEST(PytorchBin, SharedListsCannotMultiply) {
  std::string pickle("\x80\x02]q\0(", 6);
  for (int i = 0; i < 1000; ++i) pickle += "NN\x86";
  pickle += "eccollections\nOrderedDict\nq\1";
  for (int i = 0; i < 1000; ++i) pickle += std::string("h\1h\0\x85R", 6);
  expect_refused([&] { parse(pickle + "."); }, {"again and again"});
}

// A long name that many entries of a dict share is not copied for each.
TEST(PytorchBin, ANameStandsOnce) {
  std::string bytes = read_bytes(golden("legacy.bin"));
  const size_t name = bytes.find("a.f32q"), other = bytes.find("b.f16q");
  ASSERT_TRUE(name != std::string::npos && other != std::string::npos);
  const char put = bytes[name + 6];
  bytes.replace(other - 5, 12, std::string("h") + put);  // X, a length, the text, q and its number
  expect_refused([&] { parse(bytes); }, {"m.bin", "names the tensor a.f32 twice"});
}

// A stride of 0 makes any shape out of one element; so do many tensors of one storage.
TEST(PytorchBin, TensorsHaveNoMoreElementsThanTheFile) {
  std::string bytes = read_bytes(golden("zip.bin"));
  const auto replace_all = [&](const std::string& from, const std::string& to) {
    for (size_t at = bytes.find(from); at != std::string::npos; at = bytes.find(from, at + 1)) bytes.replace(at, from.size(), to);
  };
  replace_all("K\4K\3\x86", "K\xffK\xff\x86");
  replace_all("K\3K\1\x86", std::string("K\0K\0\x86", 5));
  expect_refused([&] { parse(bytes); }, {"m.bin", "more than 4 times the file's bytes"});
}

class DamagedBin : public ::testing::TestWithParam<const char*> {
 protected:
  static void read_all(const std::string& bytes) {
    const TensorFile file = parse(bytes);
    for (const TensorInfo& tensor : file.tensors) {
      if (tensor.dtype >= DType::kF16 && *element_count(tensor.shape) < 1000) read_values(file, tensor.name);
    }
  }
};

TEST_P(DamagedBin, EveryTruncationIsRefused) {
  const std::string bytes = read_bytes(golden(GetParam()));
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_TRUE(refused_or_read([&] { read_all(bytes.substr(0, size)); })) << "cut to " << size;
  }
}

TEST_P(DamagedBin, NoFlippedByteReadsOutsideTheFile) {
  const std::string bytes = read_bytes(golden(GetParam()));
  for (size_t at = 0; at < bytes.size(); ++at) {
    for (int mask : {0x01, 0x08, 0x80, 0xFF}) {
      std::string damaged = bytes;
      damaged[at] = static_cast<char>(damaged[at] ^ mask);
      refused_or_read([&] { read_all(damaged); });
    }
  }
}

INSTANTIATE_TEST_SUITE_P(PytorchBin, DamagedBin, ::testing::Values("zip.bin", "legacy.bin", "module.bin"));

}  // namespace
}  // namespace berth::train
