#include "trainer/checkpoint/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "data/check.h"
#include "data/json/json.h"

namespace berth::train {
namespace {

using Json = nlohmann::ordered_json;

constexpr uint64_t kMaxHeader = 100'000'000;  // the reference implementation's limit
constexpr size_t kMaxDepth = 3;               // header -> tensor -> shape
constexpr size_t kMaxDims = 64;

// Equal names are refused, which an object in order sees to.
Json parse_header(const std::string& text, const std::string& file) {
  Json header = in_context(file + ": its safetensors header is damaged",
                           [&] { return data::parse_json<Json>(text, "", {.bytes = kMaxHeader, .depth = kMaxDepth}); });
  check(header.is_object(), file, ": its safetensors header is not a JSON object");
  return header;
}

struct Entry {
  TensorInfo info;
  uint64_t begin = 0, end = 0;  // within the data
};

int64_t count_of(const Json& value, const std::string& where) {
  check(value.is_number_unsigned() && value.get<uint64_t>() < (uint64_t{1} << 62), where, ": expected a count, found ",
        data::dump_json(value));
  return value.get<int64_t>();
}

Entry parse_entry(const std::string& name, const Json& value, const std::string& file) {
  const std::string where = file + ": tensor " + name;
  check(value.is_object() && value.contains("dtype") && value.contains("shape") && value.contains("data_offsets"), where,
        " must have dtype, shape and data_offsets");
  const Json &dtype = value["dtype"], &shape = value["shape"], &offsets = value["data_offsets"];
  check(dtype.is_string() && shape.is_array() && shape.size() <= kMaxDims && offsets.is_array() && offsets.size() == 2, where,
        " has a malformed dtype, shape or data_offsets");
  const auto known = find_dtype(dtype.get_ref<const std::string&>());
  check(known.has_value(), where, " has type ", data::dump_json(dtype), ", which is not supported");

  Entry entry;
  entry.info.name = name;
  entry.info.dtype = *known;
  for (const Json& size : shape) entry.info.shape.push_back(count_of(size, where));
  entry.begin = static_cast<uint64_t>(count_of(offsets[0], where));
  entry.end = static_cast<uint64_t>(count_of(offsets[1], where));
  const auto count = element_count(entry.info.shape);
  check(count.has_value(), where, " has an impossible shape ", shape_text(entry.info.shape));
  const uint64_t size = dtype_size(*known);
  check(entry.begin <= entry.end && (entry.end - entry.begin) % size == 0 &&
            (entry.end - entry.begin) / size == static_cast<uint64_t>(*count),
        where, " ", shape_text(entry.info.shape), " of ", dtype_name(*known), " cannot lie at bytes ", entry.begin, " to ",
        entry.end);
  entry.info.strides = row_major_strides(entry.info.shape);
  return entry;
}

std::map<std::string, std::string> parse_metadata(const Json& value, const std::string& file) {
  std::map<std::string, std::string> metadata;
  check(value.is_object(), file, ": __metadata__ must be an object of strings");
  for (const auto& [key, text] : value.items()) {
    check(text.is_string(), file, ": __metadata__ must hold strings only, ", key, " is none");
    metadata[key] = text.get<std::string>();
  }
  return metadata;
}

}  // namespace

TensorFile parse_safetensors(std::shared_ptr<const ByteSource> bytes) {
  const std::string& file = bytes->name();
  check(bytes->size() >= 8, file, ": has ", bytes->size(), " bytes, a safetensors file has at least 8: it is truncated");
  const uint64_t header_size = load_le<uint64_t>(bytes->read_string(0, 8, "the header's size"));
  check(header_size <= kMaxHeader, file, ": claims a header of ", header_size, " bytes, at most ", kMaxHeader,
        " are allowed: it is damaged or not a safetensors file");
  const std::string header_text = bytes->read_string(8, header_size, "the header");
  check(header_text.starts_with('{'), file, ": does not begin like a safetensors file");
  const Json header = parse_header(header_text, file);
  const uint64_t data_begin = 8 + header_size, data_size = bytes->size() - data_begin;

  TensorFile result{std::move(bytes), {}, {}};
  std::vector<Entry> entries;
  for (const auto& [name, value] : header.items()) {
    if (name == "__metadata__") {
      result.metadata = parse_metadata(value, file);
    } else {
      entries.push_back(parse_entry(name, value, file));
    }
  }
  std::sort(entries.begin(), entries.end(),
            [](const Entry& a, const Entry& b) { return std::tie(a.begin, a.end) < std::tie(b.begin, b.end); });
  uint64_t end = 0;
  for (Entry& entry : entries) {
    check(entry.begin == end, file, ": tensor ", entry.info.name, " begins at data byte ", entry.begin, ", expected ", end,
          ": tensors overlap or leave a gap");
    end = entry.end;
    entry.info.begin = data_begin + entry.begin;
    result.tensors.push_back(std::move(entry.info));
  }
  check(end == data_size, file, ": holds ", data_size, " bytes of data, its header speaks of ", end,
        ": it is truncated or damaged");
  std::sort(result.tensors.begin(), result.tensors.end(),
            [](const TensorInfo& a, const TensorInfo& b) { return a.name < b.name; });
  return result;
}

void write_safetensors(std::vector<TensorView> tensors, const std::function<void(std::string_view)>& sink) {
  std::sort(tensors.begin(), tensors.end(), [](const TensorView& a, const TensorView& b) {
    return std::pair(dtype_size(b.dtype), std::string_view(a.name)) < std::pair(dtype_size(a.dtype), std::string_view(b.name));
  });
  nlohmann::json header = {{"__metadata__", {{"format", "pt"}}}};
  uint64_t offset = 0;
  for (const TensorView& tensor : tensors) {
    const auto count = element_count(tensor.shape);
    check_internal(
        count && static_cast<uint64_t>(*count) * dtype_size(tensor.dtype) == tensor.data.size() && !header.contains(tensor.name),
        "cannot write the tensor ", tensor.name, " ", shape_text(tensor.shape), ": wrong size or written twice");
    header[tensor.name] = {
        {"dtype", dtype_name(tensor.dtype)}, {"shape", tensor.shape}, {"data_offsets", {offset, offset + tensor.data.size()}}};
    offset += tensor.data.size();
  }
  std::string text = data::dump_json(header);
  text.append((8 - text.size() % 8) % 8, ' ');
  std::string size(8, '\0');
  for (size_t i = 0; i < 8; ++i) size[i] = static_cast<char>(text.size() >> (8 * i) & 0xFF);
  sink(size);
  sink(text);
  for (const TensorView& tensor : tensors) sink({reinterpret_cast<const char*>(tensor.data.data()), tensor.data.size()});
}

}  // namespace berth::train
