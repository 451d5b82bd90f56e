#include "trainer/checkpoint/pickle.h"

#include <algorithm>
#include <unordered_map>

#include "data/check.h"
#include "trainer/checkpoint/byte_source.h"

namespace berth::train {
namespace {

using Kind = PickleValue::Kind;

enum Op : unsigned char {
  kMark = '(',
  kStop = '.',
  kNoneOp = 'N',
  kTrue = 0x88,
  kFalse = 0x89,
  kBinInt = 'J',
  kBinInt1 = 'K',
  kBinInt2 = 'M',
  kLong1 = 0x8a,
  kBinFloat = 'G',
  kBinUnicode = 'X',
  kShortBinUnicode = 0x8c,
  kBinString = 'T',
  kShortBinString = 'U',
  kEmptyTuple = ')',
  kTuple1 = 0x85,
  kTuple2 = 0x86,
  kTuple3 = 0x87,
  kTupleOp = 't',
  kEmptyList = ']',
  kAppend = 'a',
  kAppends = 'e',
  kEmptyDict = '}',
  kSetItem = 's',
  kSetItems = 'u',
  kBinPut = 'q',
  kLongBinPut = 'r',
  kBinGet = 'h',
  kLongBinGet = 'j',
  kMemoize = 0x94,
  kGlobalOp = 'c',
  kStackGlobal = 0x93,
  kBinPersId = 'Q',
  kReduce = 'R',
  kBuild = 'b',
  kProto = 0x80,
  kFrame = 0x95
};

struct OpName {
  unsigned char op;
  std::string_view name;
};
// What pickle has and state dicts do not need.
constexpr OpName kRefused[] = {{'0', "POP"},
                               {'1', "POP_MARK"},
                               {'2', "DUP"},
                               {'F', "FLOAT"},
                               {'I', "INT"},
                               {'L', "LONG"},
                               {'P', "PERSID"},
                               {'S', "STRING"},
                               {'V', "UNICODE"},
                               {'d', "DICT"},
                               {'g', "GET"},
                               {'i', "INST"},
                               {'l', "LIST"},
                               {'o', "OBJ"},
                               {'p', "PUT"},
                               {'B', "BINBYTES"},
                               {'C', "SHORT_BINBYTES"},
                               {0x81, "NEWOBJ"},
                               {0x82, "EXT1"},
                               {0x83, "EXT2"},
                               {0x84, "EXT4"},
                               {0x8b, "LONG4"},
                               {0x8d, "BINUNICODE8"},
                               {0x8e, "BINBYTES8"},
                               {0x8f, "EMPTY_SET"},
                               {0x90, "ADDITEMS"},
                               {0x91, "FROZENSET"},
                               {0x92, "NEWOBJ_EX"},
                               {0x96, "BYTEARRAY8"},
                               {0x97, "NEXT_BUFFER"},
                               {0x98, "READONLY_BUFFER"}};

constexpr std::string_view kOrderedDict = "collections OrderedDict";

class Machine {
 public:
  Machine(std::string_view bytes, std::span<const std::string_view> allowed, const std::string& origin)
      : bytes_(bytes), allowed_(allowed), origin_(origin) {}

  Pickle run() {
    for (;;) {
      const auto op = static_cast<unsigned char>(take(1)[0]);
      if (op == kStop) break;
      if (!scalar(op) && !container(op) && !memo(op) && !object(op)) refuse(op);
    }
    result_.root = pop();
    result_.size = at_;
    return std::move(result_);
  }

 private:
  template <class... Parts>
  [[noreturn]] void damaged(const Parts&... parts) const {
    fail(ExitCode::kBadInput, origin_, ": ", parts..., " at byte ", at_, " of its pickle: it is damaged or not a state dict");
  }

  [[noreturn]] void refuse(unsigned char op) const {
    const auto known = std::find_if(std::begin(kRefused), std::end(kRefused), [&](const OpName& row) { return row.op == op; });
    if (known != std::end(kRefused)) damaged("the opcode ", known->name, ", which no state dict needs, is refused");
    damaged("unknown opcode ", static_cast<int>(op));
  }

  std::string_view take(uint64_t size) {
    if (size > bytes_.size() - at_) damaged("the pickle ends too early");
    const std::string_view piece = bytes_.substr(at_, size);
    at_ += size;
    return piece;
  }
  template <class T>
  T number() {
    return load_le<T>(take(sizeof(T)));
  }
  std::string_view line() {
    const size_t end = bytes_.find('\n', at_);
    if (end == std::string_view::npos) damaged("a line without end");
    const std::string_view text = take(end - at_);
    take(1);
    return text;
  }

  bool push(PickleValue value) {
    stack_.push_back(static_cast<PickleRef>(result_.values.size()));
    result_.values.push_back(std::move(value));
    return true;
  }
  bool push_text(Kind kind, std::string_view text) { return push({kind, 0, std::string(text), {}}); }
  bool push_int(Kind kind, int64_t value) { return push({kind, value, {}, {}}); }

  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  PickleRef top() const {
    if (stack_.size() <= floor()) damaged("an empty stack");
    return stack_.back();
  }
  PickleRef pop() {
    const PickleRef ref = top();
    stack_.pop_back();
    return ref;
  }
  std::vector<PickleRef> pop_last(size_t count) {
    if (stack_.size() - floor() < count) damaged("an empty stack");
    std::vector<PickleRef> items(stack_.end() - static_cast<ptrdiff_t>(count), stack_.end());
    stack_.resize(stack_.size() - count);
    return items;
  }
  std::vector<PickleRef> pop_mark() {
    if (marks_.empty()) damaged("no mark");
    std::vector<PickleRef> items = pop_last(stack_.size() - marks_.back());
    marks_.pop_back();
    return items;
  }
  bool extend(Kind kind, const std::vector<PickleRef>& items) {
    PickleValue& target = result_.values[top()];
    if (target.kind != kind || (kind == Kind::kDict && items.size() % 2 != 0)) damaged("items for something that takes none");
    target.items.insert(target.items.end(), items.begin(), items.end());
    return true;
  }

  bool scalar(unsigned char op) {
    switch (op) {
      case kNoneOp:
        return push({});
      case kTrue:
        return push_int(Kind::kBool, 1);
      case kFalse:
        return push_int(Kind::kBool, 0);
      case kBinInt:
        return push_int(Kind::kInt, number<int32_t>());
      case kBinInt1:
        return push_int(Kind::kInt, number<uint8_t>());
      case kBinInt2:
        return push_int(Kind::kInt, number<uint16_t>());
      case kLong1:
        return push_long(take(number<uint8_t>()));
      case kBinFloat:
        take(8);
        return push_int(Kind::kFloat, 0);  // no state dict's tensor depends on a float
      case kBinUnicode:
      case kBinString:
        return push_text(Kind::kString, take(number<uint32_t>()));
      case kShortBinUnicode:
      case kShortBinString:
        return push_text(Kind::kString, take(number<uint8_t>()));
      default:
        return false;
    }
  }

  // Two's complement of any length.
  bool push_long(std::string_view digits) {
    if (digits.size() > 8) return push_text(Kind::kLong, digits);
    uint64_t value = !digits.empty() && static_cast<signed char>(digits.back()) < 0 ? ~uint64_t{0} : 0;
    for (size_t i = digits.size(); i-- > 0;) value = value << 8 | static_cast<unsigned char>(digits[i]);
    return push_int(Kind::kInt, static_cast<int64_t>(value));
  }

  bool container(unsigned char op) {
    switch (op) {
      case kMark:
        marks_.push_back(stack_.size());
        return true;
      case kEmptyTuple:
        return push({Kind::kTuple, 0, {}, {}});
      case kEmptyList:
        return push({Kind::kList, 0, {}, {}});
      case kEmptyDict:
        return push({Kind::kDict, 0, {}, {}});
      case kTuple1:
      case kTuple2:
      case kTuple3:
        return push({Kind::kTuple, 0, {}, pop_last(static_cast<size_t>(op - kTuple1) + 1)});
      case kTupleOp:
        return push({Kind::kTuple, 0, {}, pop_mark()});
      case kAppend:
        return extend_by(Kind::kList, pop_last(1));
      case kAppends:
        return extend_by(Kind::kList, pop_mark());
      case kSetItem:
        return extend_by(Kind::kDict, pop_last(2));
      case kSetItems:
        return extend_by(Kind::kDict, pop_mark());
      default:
        return false;
    }
  }
  bool extend_by(Kind kind, const std::vector<PickleRef>& items) { return extend(kind, items); }

  bool memo(unsigned char op) {
    switch (op) {
      case kBinPut:
        memo_[number<uint8_t>()] = top();
        return true;
      case kLongBinPut:
        memo_[number<uint32_t>()] = top();
        return true;
      case kMemoize:
        memo_[static_cast<uint32_t>(memo_.size())] = top();
        return true;
      case kBinGet:
        return recall(number<uint8_t>());
      case kLongBinGet:
        return recall(number<uint32_t>());
      default:
        return false;
    }
  }
  bool recall(uint32_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) damaged("nothing remembered under ", key);
    stack_.push_back(found->second);
    return true;
  }

  bool object(unsigned char op) {
    switch (op) {
      case kProto: {
        const int version = number<uint8_t>();
        if (version < 2 || version > 5) damaged("pickle protocol ", version, " is not supported (2 to 5 are)");
        return true;
      }
      case kFrame:
        take(8);
        return true;
      case kGlobalOp: {
        const std::string module(line());
        return push_global(module + " " + std::string(line()));
      }
      case kStackGlobal: {
        const std::vector<PickleRef> names = pop_last(2);
        return push_global(result_[names[0]].text + " " + result_[names[1]].text);
      }
      case kBinPersId:
        return push({Kind::kPersistent, 0, {}, pop_last(1)});
      case kReduce:
        return reduce();
      case kBuild:  // attributes, such as a state dict's _metadata: not needed
        pop();
        if (result_[top()].kind != Kind::kDict) damaged("attributes for something that takes none");
        return true;
      default:
        return false;
    }
  }

  bool push_global(std::string name) {
    if (name != kOrderedDict && std::find(allowed_.begin(), allowed_.end(), name) == allowed_.end())
      damaged("the Python object ", name, " is asked for; a state dict of plain tensors needs none such, so it is refused");
    return push({Kind::kGlobal, 0, std::move(name), {}});
  }

  bool reduce() {
    const std::vector<PickleRef> call = pop_last(2);
    if (result_[call[0]].kind != Kind::kGlobal || result_[call[1]].kind != Kind::kTuple)
      damaged("a call of something that is no function");
    if (result_[call[0]].text != kOrderedDict) return push({Kind::kCall, 0, {}, call});
    PickleValue dict{Kind::kDict, 0, {}, {}};
    const std::vector<PickleRef>& arguments = result_[call[1]].items;
    if (!arguments.empty()) {  // Python 2: one list of [key, value]
      copied_ += result_[arguments[0]].items.size();
      if (copied_ > bytes_.size()) damaged("the same pairs used again and again");
      for (PickleRef pair : result_[arguments[0]].items) {
        const std::vector<PickleRef>& key_value = result_[pair].items;
        if (key_value.size() != 2) damaged("an OrderedDict of something else than pairs");
        dict.items.insert(dict.items.end(), key_value.begin(), key_value.end());
      }
    }
    return push(std::move(dict));
  }

  std::string_view bytes_;
  std::span<const std::string_view> allowed_;
  const std::string& origin_;
  size_t at_ = 0;
  size_t copied_ = 0;  // pairs taken over from lists, which may be shared
  std::vector<PickleRef> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint32_t, PickleRef> memo_;
  Pickle result_;
};

}  // namespace

Pickle read_pickle(std::string_view bytes, std::span<const std::string_view> allowed_globals, const std::string& origin) {
  return Machine(bytes, allowed_globals, origin).run();
}

}  // namespace berth::train
