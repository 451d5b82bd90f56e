#include "trainer/checkpoint/pytorch_bin.h"

#include <algorithm>
#include <functional>
#include <set>

#include "data/check.h"
#include "trainer/checkpoint/pickle.h"
#include "trainer/checkpoint/zip_directory.h"

namespace berth::train {
namespace {

using Kind = PickleValue::Kind;

// A state dict of BERT-large takes 100 KB of pickle; memory while reading it is up to a hundred times this.
constexpr uint64_t kMaxPickle = 8'000'000;
constexpr size_t kMaxTensors = 100'000, kMaxKey = 256;
constexpr std::string_view kRebuildTensor = "torch._utils _rebuild_tensor_v2",
                           kRebuildParameter = "torch._utils _rebuild_parameter";
// 0x1950a86a20f9469cfc6c, with which the legacy format begins.
constexpr std::string_view kLegacyMagic = "\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19";

struct StorageType {
  std::string_view global;
  DType dtype;
};
constexpr StorageType kStorageTypes[] = {{"torch FloatStorage", DType::kF32}, {"torch DoubleStorage", DType::kF64},
                                         {"torch HalfStorage", DType::kF16},  {"torch BFloat16Storage", DType::kBF16},
                                         {"torch LongStorage", DType::kI64},  {"torch IntStorage", DType::kI32},
                                         {"torch ShortStorage", DType::kI16}, {"torch CharStorage", DType::kI8},
                                         {"torch ByteStorage", DType::kU8},   {"torch BoolStorage", DType::kBool}};

std::vector<std::string_view> allowed_globals() {
  std::vector<std::string_view> names{kRebuildTensor, kRebuildParameter};
  for (const StorageType& type : kStorageTypes) names.push_back(type.global);
  return names;
}

struct Storage {
  std::string key;
  DType dtype = DType::kF32;
  uint64_t elements = 0;
};

// A tensor of the state dict as the pickle describes it; where its storage lies is found out later.
struct PickledTensor {
  std::string name;
  Storage storage;
  int64_t offset = 0;
  std::vector<int64_t> shape, strides;
};

class StateDictReader {
 public:
  StateDictReader(const Pickle& pickle, const std::string& file) : pickle_(pickle), file_(file) {}

  std::vector<PickledTensor> tensors() const {
    const PickleValue& root = pickle_[pickle_.root];
    check(root.kind == Kind::kDict, file_,
          ": does not hold a state dict (names and tensors); save model.state_dict(), not the model");
    check(root.items.size() / 2 <= kMaxTensors, file_, ": has more than ", kMaxTensors, " tensors: it is damaged");
    std::vector<PickledTensor> result;
    std::set<PickleRef> names;  // a long one that the pickle has once is copied once
    for (size_t i = 0; i < root.items.size(); i += 2) {
      const PickleValue& name = pickle_[root.items[i]];
      check(name.kind == Kind::kString, file_, ": its state dict has a key that is not a string");
      check(names.insert(root.items[i]).second, file_, ": names the tensor ", name.text, " twice");
      result.push_back(tensor(name.text, root.items[i + 1]));
    }
    std::sort(result.begin(), result.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
    for (size_t i = 1; i < result.size(); ++i)
      check(result[i - 1].name != result[i].name, file_, ": names the tensor ", result[i].name, " twice");
    return result;
  }

 private:
  // `ref`'s arguments if it is a call of `callable` with at least `least` of them, otherwise nothing.
  const std::vector<PickleRef>* call_of(std::string_view callable, PickleRef ref, size_t least) const {
    const PickleValue& value = pickle_[ref];
    if (value.kind != Kind::kCall || pickle_[value.items[0]].text != callable) return nullptr;
    const std::vector<PickleRef>& arguments = pickle_[value.items[1]].items;
    return arguments.size() >= least ? &arguments : nullptr;
  }

  PickledTensor tensor(const std::string& name, PickleRef ref) const {
    if (const auto* parameter = call_of(kRebuildParameter, ref, 1)) ref = parameter->front();
    const auto* arguments = call_of(kRebuildTensor, ref, 4);
    check(arguments != nullptr, file_, ": ", name, " is not a plain tensor; only state dicts of plain tensors can be read");
    PickledTensor result{name, storage(name, (*arguments)[0]), integer(name, (*arguments)[1]), integers(name, (*arguments)[2]),
                         integers(name, (*arguments)[3])};
    check(element_count(result.shape).has_value() && result.strides.size() == result.shape.size(), file_, ": ", name,
          " has an impossible shape ", shape_text(result.shape), " with strides ", shape_text(result.strides));
    return result;
  }

  // ("storage", torch.FloatStorage, key, device, number of elements[, view])
  Storage storage(const std::string& name, PickleRef ref) const {
    const PickleValue& value = pickle_[ref];
    check(value.kind == Kind::kPersistent, file_, ": ", name, " has no storage");
    const std::vector<PickleRef>& id = pickle_[value.items[0]].items;
    check(id.size() >= 5 && pickle_[id[0]].text == "storage" && pickle_[id[2]].kind == Kind::kString &&
              pickle_[id[2]].text.size() <= kMaxKey,
          file_, ": ", name, " has a malformed storage");
    check(id.size() < 6 || pickle_[id[5]].kind == Kind::kNone, file_, ": ", name,
          " has a storage that views another one (torch before 0.4): save it again");
    const std::string& global = pickle_[id[1]].text;
    const auto type = std::find_if(std::begin(kStorageTypes), std::end(kStorageTypes),
                                   [&](const StorageType& row) { return row.global == global; });
    check(type != std::end(kStorageTypes), file_, ": ", name, " has a storage of the unknown type ", global);
    const int64_t elements = integer(name, id[4]);
    check(elements >= 0, file_, ": ", name, " has a storage of ", elements, " elements");
    return {pickle_[id[2]].text, type->dtype, static_cast<uint64_t>(elements)};
  }

  int64_t integer(const std::string& name, PickleRef ref) const {
    check(pickle_[ref].kind == Kind::kInt, file_, ": ", name, " has a size or offset that is not an integer");
    return pickle_[ref].integer;
  }
  std::vector<int64_t> integers(const std::string& name, PickleRef ref) const {
    check(pickle_[ref].kind == Kind::kTuple && pickle_[ref].items.size() <= 64, file_, ": ", name,
          " has a shape that is not a tuple");
    std::vector<int64_t> values;
    for (PickleRef item : pickle_[ref].items) values.push_back(integer(name, item));
    return values;
  }

  const Pickle& pickle_;
  const std::string& file_;
};

// The tensor with its storage at byte `begin`, once all its elements are known to be inside.
TensorInfo place(const PickledTensor& tensor, uint64_t begin, const std::string& file) {
  const uint64_t elements = tensor.storage.elements;
  const auto outside = [&] {
    fail(ExitCode::kBadInput, file, ": ", tensor.name, " ", shape_text(tensor.shape), " with strides ",
         shape_text(tensor.strides), " and offset ", tensor.offset, " goes beyond its storage of ", elements,
         " elements: the file is damaged");
  };
  if (tensor.offset < 0 || static_cast<uint64_t>(tensor.offset) > elements) outside();
  if (*element_count(tensor.shape) > 0) {
    uint64_t room = elements - static_cast<uint64_t>(tensor.offset);
    if (room-- == 0) outside();
    for (size_t d = 0; d < tensor.shape.size(); ++d) {
      const auto steps = static_cast<uint64_t>(tensor.shape[d] - 1), stride = static_cast<uint64_t>(tensor.strides[d]);
      if (tensor.strides[d] < 0 || (steps > 0 && stride > room / steps)) outside();
      room -= steps * stride;
    }
  }
  return {tensor.name, tensor.storage.dtype, tensor.shape, tensor.strides,
          begin + static_cast<uint64_t>(tensor.offset) * dtype_size(tensor.storage.dtype)};
}

TensorFile read_zip_form(const std::shared_ptr<const ByteSource>& bytes) {
  const std::string& file = bytes->name();
  const auto entries = read_zip_directory(*bytes);
  const auto is_pickle = [](const auto& entry) { return entry.first.ends_with("/data.pkl"); };
  const auto found = std::find_if(entries.begin(), entries.end(), is_pickle);
  check(found != entries.end(), file, ": is a zip archive without data.pkl: not written by torch.save");
  const std::string folder = found->first.substr(0, found->first.size() - std::string_view("data.pkl").size());
  check(!entries.contains(folder + "constants.pkl"), file, ": is a TorchScript archive, not a state dict");
  if (const auto order = entries.find(folder + "byteorder"); order != entries.end()) {
    const bool little =
        bytes->read_string(order->second.begin, std::min<uint64_t>(order->second.size, 6), "byteorder") == "little";
    check(little, file, ": was written on a big-endian machine");
  }
  check(found->second.size <= kMaxPickle, file, ": has a pickle of ", found->second.size, " bytes, at most ", kMaxPickle,
        " are allowed");
  const Pickle pickle =
      read_pickle(bytes->read_string(found->second.begin, found->second.size, "data.pkl"), allowed_globals(), file);

  TensorFile result{bytes, {}, {}};
  for (const PickledTensor& tensor : StateDictReader(pickle, file).tensors()) {
    const auto storage = entries.find(folder + "data/" + tensor.storage.key);
    check(storage != entries.end(), file, ": lacks the storage ", tensor.storage.key, " of ", tensor.name);
    const uint64_t size = storage->second.size, element = dtype_size(tensor.storage.dtype);
    check(size % element == 0 && size / element == tensor.storage.elements, file, ": the storage of ", tensor.name, " has ", size,
          " bytes, expected ", tensor.storage.elements, " elements of ", dtype_name(tensor.storage.dtype));
    result.tensors.push_back(place(tensor, storage->second.begin, file));
  }
  return result;
}

// The storages of the legacy form follow the pickles in the order of the last one, a list of keys.
std::map<std::string, uint64_t> locate_legacy_storages(const ByteSource& bytes, const Pickle& keys, uint64_t at,
                                                       const std::map<std::string, Storage>& known) {
  std::map<std::string, uint64_t> begins;
  for (PickleRef ref : keys[keys.root].items) {
    const std::string& key = keys[ref].text;
    const auto storage = known.find(key);
    check(storage != known.end(), bytes.name(), ": holds a storage that no tensor uses");
    const auto elements = load_le<uint64_t>(bytes.read_string(at, 8, "a storage's size"));
    check(elements == storage->second.elements, bytes.name(), ": storage ", key, " has ", elements, " elements, expected ",
          storage->second.elements);
    at += 8;
    const uint64_t size = dtype_size(storage->second.dtype);
    check(elements <= (bytes.size() - at) / size, bytes.name(), ": storage ", key, " goes beyond the end: the file is truncated");
    check(begins.emplace(key, at).second, bytes.name(), ": lists the storage ", key, " twice");
    at += elements * size;
  }
  return begins;
}

TensorFile read_legacy_form(const std::shared_ptr<const ByteSource>& bytes) {
  const std::string& file = bytes->name();
  const std::string head = bytes->read_string(0, std::min(bytes->size(), kMaxPickle), "the pickles");
  std::string_view rest = head;
  const auto next = [&] {
    Pickle pickle = read_pickle(rest, allowed_globals(), file);
    rest.remove_prefix(pickle.size);
    return pickle;
  };
  const Pickle magic = next();
  check(magic[magic.root].text == kLegacyMagic, file, ": was not written by torch.save");
  const Pickle protocol = next();
  check(protocol[protocol.root].integer == 1001, file, ": has version ", protocol[protocol.root].integer,
        " of torch's format, expected 1001");
  const Pickle system = next();
  const PickleValue& facts = system[system.root];
  for (size_t i = 0; facts.kind == Kind::kDict && i < facts.items.size(); i += 2) {
    check(system[facts.items[i]].text != "little_endian" || system[facts.items[i + 1]].integer == 1, file,
          ": was written on a big-endian machine");
  }
  const Pickle pickle = next();
  const std::vector<PickledTensor> tensors = StateDictReader(pickle, file).tensors();
  std::map<std::string, Storage> storages;
  for (const PickledTensor& tensor : tensors) {
    const Storage& known = storages.emplace(tensor.storage.key, tensor.storage).first->second;
    check(known.dtype == tensor.storage.dtype && known.elements == tensor.storage.elements, file, ": ", tensor.name,
          " disagrees with another tensor about their storage");
  }
  const Pickle keys = next();
  const auto begins = locate_legacy_storages(*bytes, keys, head.size() - rest.size(), storages);

  TensorFile result{bytes, {}, {}};
  for (const PickledTensor& tensor : tensors) {
    const auto begin = begins.find(tensor.storage.key);
    check(begin != begins.end(), file, ": lacks the storage ", tensor.storage.key, " of ", tensor.name);
    result.tensors.push_back(place(tensor, begin->second, file));
  }
  return result;
}

// Tensors may share a storage (tied weights); but those of a whole model cannot all be one.
void check_total(const TensorFile& file) {
  constexpr uint64_t kMostTimes = 4;
  uint64_t left = kMostTimes * file.bytes->size();
  for (const TensorInfo& tensor : file.tensors) {
    const auto elements = static_cast<uint64_t>(element_count(tensor.shape).value_or(0));
    check(elements <= left / dtype_size(tensor.dtype), file.bytes->name(), ": its tensors have more than ", kMostTimes,
          " times the file's bytes: they share or repeat their values");
    left -= elements * dtype_size(tensor.dtype);
  }
}

}  // namespace

TensorFile parse_pytorch_bin(const std::shared_ptr<const ByteSource>& bytes) {
  check(bytes->size() > 0, bytes->name(), ": is empty");
  TensorFile file = looks_like_zip(*bytes) ? read_zip_form(bytes) : read_legacy_form(bytes);
  check_total(file);
  return file;
}

}  // namespace berth::train
