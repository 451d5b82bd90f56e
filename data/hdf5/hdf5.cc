#include "data/hdf5/hdf5.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <mutex>

#include "data/check.h"
#include "data/files/files.h"
#include "data/hdf5/version.h"

namespace berth::data::h5 {
namespace {

constexpr uint64_t kMaxAttributeBytes = uint64_t{64} << 20;
constexpr uint64_t kMaxStrings = 1'000'000;  // of an attribute: label names, source files
constexpr uint64_t kMaxChunkBytes = uint64_t{16} << 20;
constexpr size_t kMaxNumberBytes = 8;

// Comes before HDF5's first use in each thread. Where HDF5 is built thread-safe, each thread has an error stack of its own, which
// is printed unless told otherwise. After a write that failed, HDF5 1.10 crashes in its clean-up at exit: berth closes its files
// itself.
void set_up() {
  static const herr_t no_clean_up = H5dont_atexit();
  thread_local const herr_t silent = H5Eset_auto2(H5E_DEFAULT, nullptr, nullptr);
  static_cast<void>(no_clean_up), static_cast<void>(silent);
}

Handle property_list(hid_t kind) { return {H5Pcreate(kind), "cannot make an HDF5 property list"}; }

Handle without_times(hid_t kind) {
  Handle list = property_list(kind);
  ok(H5Pset_obj_track_times(list, false), "cannot turn HDF5's times off");
  return list;
}

Handle string_type(size_t size) {
  Handle type(H5Tcopy(H5T_C_S1), "cannot make an HDF5 string type");
  ok(H5Tset_size(type, std::max<size_t>(size, 1)), "cannot size an HDF5 string type");
  ok(H5Tset_strpad(type, H5T_STR_NULLPAD), "cannot pad an HDF5 string type");
  ok(H5Tset_cset(type, H5T_CSET_UTF8), "cannot make an HDF5 string type UTF-8");
  return type;
}

void write_attribute(hid_t object, const char* name, hid_t type, hid_t space, const void* values) {
  set_up();
  const std::string what = concat("cannot write the attribute '", name, "'");
  Handle attribute(H5Acreate2(object, name, type, space, H5P_DEFAULT, H5P_DEFAULT), what);
  ok(H5Awrite(attribute, type, values), what);
}

Handle open_attribute(hid_t object, const char* name, H5T_class_t kind) {
  const std::string what = concat("cannot read the attribute '", name, "'");
  check(has_attribute(object, name), "the attribute '", name, "' is missing");
  Handle attribute(H5Aopen(object, name, H5P_DEFAULT), what);
  Handle type(H5Aget_type(attribute), what);
  const bool expected = kind == H5T_STRING ? H5Tis_variable_str(type) == 0 : H5Tget_size(type) <= kMaxNumberBytes;
  check(H5Tget_class(type) == kind && expected, "the attribute '", name, "' is not of the expected type");
  return attribute;
}

// A link could make us read another file.
void check_hard(hid_t parent, const char* name) {
  H5L_info_t link;
  ok(H5Lget_info(parent, name, &link, H5P_DEFAULT), concat("cannot read the link '", name, "'"));
  check(link.type == H5L_TYPE_HARD, "'", name, "' is a link to elsewhere");
}

// A filter could make more of a chunk than the file has room for: none but the checksum that berth writes.
void check_filters(hid_t creation, const char* name) {
  const std::string what = concat("cannot read the filters of the dataset '", name, "'");
  const int filters = ok(H5Pget_nfilters(creation), what);
  for (unsigned i = 0; i < static_cast<unsigned>(filters); ++i) {
    unsigned flags = 0, config = 0;
    size_t values = 0;
    const H5Z_filter_t filter = ok(H5Pget_filter2(creation, i, &flags, &values, nullptr, 0, nullptr, &config), what);
    check(filter == H5Z_FILTER_FLETCHER32, "the dataset '", name, "' is compressed (HDF5 filter ", filter,
          "), as berth never writes it: prepare the data again");
  }
}

std::vector<std::string> read_fixed_strings(hid_t attribute, const char* name) {
  const std::string what = concat("cannot read the attribute '", name, "'");
  Handle type(H5Aget_type(attribute), what);
  Handle space(H5Aget_space(attribute), what);
  const size_t size = H5Tget_size(type);
  const hssize_t count = ok(H5Sget_simple_extent_npoints(space), what);
  check(size > 0 && static_cast<uint64_t>(count) <= std::min(kMaxStrings, kMaxAttributeBytes / size), "the attribute '", name,
        "' is too large to be true");
  std::vector<char> bytes(size * static_cast<size_t>(count));
  ok(H5Aread(attribute, string_type(size), bytes.data()), what);
  std::vector<std::string> values;
  for (size_t begin = 0; begin < bytes.size(); begin += size) {
    const auto first = bytes.begin() + static_cast<ptrdiff_t>(begin);
    values.emplace_back(first, std::find(first, first + static_cast<ptrdiff_t>(size), '\0'));
  }
  return values;
}

// File access without HDF5's locks: many read at once, and what is being written is locked already (data/files/temporary.h).
Handle without_locks() {
  Handle access = property_list(H5P_FILE_ACCESS);
#if H5_VERSION_GE(1, 10, 7)
  ok(H5Pset_file_locking(access, false, true), "cannot turn HDF5's file locking off");
#else
  setenv("HDF5_USE_FILE_LOCKING", "FALSE", 1);
#endif
  return access;
}

// Whether HDF5's reason is that of a file system that may answer later. Its drivers write "file read failed: …, errno = 5, error message = '…'",
// or "unable to open file: …".
bool passes(const std::string& reason) {
  constexpr std::string_view kRead = "file read failed", kOpen = "unable to open file", kNumber = "errno = ";
  constexpr std::array kPassing = {EIO, ESTALE, ETIMEDOUT, ENOTCONN, EAGAIN};
  const size_t at = reason.find(kNumber);
  if (!(reason.starts_with(kRead) || reason.starts_with(kOpen)) || at == std::string::npos) return false;
  return std::find(kPassing.begin(), kPassing.end(), std::atoi(reason.c_str() + at + kNumber.size())) != kPassing.end();
}

}  // namespace

std::string library_version() {
  unsigned major = 0, minor = 0, release = 0;
  ok(H5get_libversion(&major, &minor, &release), "HDF5 does not tell its version");
  return concat(major, ".", minor, ".", release);
}

void fail_with_reason(std::string_view what) {
  std::string reason;
  const auto take_innermost = [](unsigned, const H5E_error2_t* error, void* out) -> herr_t {
    auto& text = *static_cast<std::string*>(out);
    if (text.empty() && error->desc != nullptr) text = error->desc;
    return 0;
  };
  H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, take_innermost, &reason);
  const bool for_now = passes(reason);
  constexpr std::string_view kSystem = "error message = '";
  if (const size_t at = reason.find(kSystem); at != std::string::npos) {
    reason.erase(0, at + kSystem.size());
    reason.erase(std::min(reason.find('\''), reason.size()));
  }
  if (for_now) throw ReadError(ExitCode::kBadInput, concat("cannot be read: ", reason));
  fail(ExitCode::kBadInput, what, reason.empty() ? "" : " (" + reason + ")");
}

Handle create_file(const std::filesystem::path& path) {
  set_up();
  Handle access = without_locks(), creation = without_times(H5P_FILE_CREATE);
  ok(H5Pset_libver_bounds(access, H5F_LIBVER_V110, H5F_LIBVER_V110), "cannot choose the HDF5 format");
  return {H5Fcreate(path.c_str(), H5F_ACC_TRUNC, creation, access), "cannot create the file"};
}

Handle open_file(const std::filesystem::path& path) {
  set_up();
  return {H5Fopen(path.c_str(), H5F_ACC_RDONLY, without_locks()), "the file is damaged or truncated"};
}

Handle create_group(hid_t parent, const char* name) {
  set_up();
  Handle creation = without_times(H5P_GROUP_CREATE);
  return {H5Gcreate2(parent, name, H5P_DEFAULT, creation, H5P_DEFAULT), concat("cannot create the group '", name, "'")};
}

void write_attribute(hid_t object, const char* name, int64_t value) {
  Handle space(H5Screate(H5S_SCALAR), "cannot make an HDF5 space");
  write_attribute(object, name, H5T_NATIVE_INT64, space, &value);
}

void write_attribute(hid_t object, const char* name, const std::string& value) {
  Handle space(H5Screate(H5S_SCALAR), "cannot make an HDF5 space");
  const std::string padded = value.empty() ? std::string(1, '\0') : value;
  write_attribute(object, name, string_type(padded.size()), space, padded.data());
}

void write_attribute(hid_t object, const char* name, const std::vector<std::string>& values) {
  size_t size = 1;
  for (const std::string& value : values) size = std::max(size, value.size());
  std::string padded;
  for (const std::string& value : values) padded += value + std::string(size - value.size(), '\0');
  const hsize_t count = values.size();
  Handle space(H5Screate_simple(1, &count, nullptr), "cannot make an HDF5 space");
  write_attribute(object, name, string_type(size), space, padded.data());
}

bool has_attribute(hid_t object, const char* name) {
  set_up();
  return ok(H5Aexists(object, name), concat("cannot look for the attribute '", name, "'")) > 0;
}

bool has_link(hid_t parent, const char* name) {
  set_up();
  return ok(H5Lexists(parent, name, H5P_DEFAULT), concat("cannot look for '", name, "'")) > 0;
}

Handle open_group(hid_t parent, const char* name) {
  set_up();
  check_hard(parent, name);
  return {H5Gopen2(parent, name, H5P_DEFAULT), concat("cannot open the group '", name, "'")};
}

void flush(hid_t file) {
  set_up();
  ok(H5Fflush(file, H5F_SCOPE_GLOBAL), "cannot write the file");
}

int64_t read_int(hid_t object, const char* name) {
  Handle attribute = open_attribute(object, name, H5T_INTEGER);
  const std::string what = concat("cannot read the attribute '", name, "'");
  Handle space(H5Aget_space(attribute), what);
  check(H5Sget_simple_extent_npoints(space) == 1, "the attribute '", name, "' is not a single number");
  int64_t value = 0;
  ok(H5Aread(attribute, H5T_NATIVE_INT64, &value), what);
  return value;
}

std::string read_string(hid_t object, const char* name) {
  const std::vector<std::string> values = read_strings(object, name);
  check(values.size() == 1, "the attribute '", name, "' is not a single string");
  return values[0];
}

std::vector<std::string> read_strings(hid_t object, const char* name) {
  return read_fixed_strings(open_attribute(object, name, H5T_STRING), name);
}

Handle create_dataset(hid_t parent, const char* name, hid_t type, uint64_t width, uint64_t chunk_rows) {
  set_up();
  const std::string what = concat("cannot create the dataset '", name, "'");
  const int rank = width == 0 ? 1 : 2;
  const std::array<hsize_t, 2> empty{0, width}, unlimited{H5S_UNLIMITED, width};
  const std::array<hsize_t, 2> chunk{width == 0 ? chunk_rows : std::max<uint64_t>(1, chunk_rows / width), width};
  Handle space(H5Screate_simple(rank, empty.data(), unlimited.data()), what);
  Handle creation = without_times(H5P_DATASET_CREATE);
  ok(H5Pset_chunk(creation, rank, chunk.data()), what);
  ok(H5Pset_fletcher32(creation), what);
  ok(H5Pset_fill_time(creation, H5D_FILL_TIME_ALLOC), what);  // the unused end of the last chunk is zero, not what was in memory
  return {H5Dcreate2(parent, name, type, space, H5P_DEFAULT, creation, H5P_DEFAULT), what};
}

namespace {

// Calls `transfer(memory space, file space)` for rows [at, at + rows).
template <class Transfer>
void with_rows(hid_t dataset, uint64_t at, uint64_t rows, const std::string& what, Transfer transfer) {
  Handle space(H5Dget_space(dataset), what);
  std::array<hsize_t, 2> shape{}, start{at, 0};
  const int rank = ok(H5Sget_simple_extent_dims(space, shape.data(), nullptr), what);
  const std::array<hsize_t, 2> count{rows, shape[1]};
  ok(H5Sselect_hyperslab(space, H5S_SELECT_SET, start.data(), nullptr, count.data(), nullptr), what);
  Handle memory(H5Screate_simple(rank, count.data(), nullptr), what);
  ok(transfer(memory, space), what);
}

}  // namespace

void append_rows(hid_t dataset, const char* name, hid_t memory_type, uint64_t at, uint64_t rows, const void* values) {
  if (rows == 0) return;
  set_up();
  const std::string what = concat("cannot write to the dataset '", name, "'");
  std::array<hsize_t, 2> shape{};
  {
    Handle space(H5Dget_space(dataset), what);
    ok(H5Sget_simple_extent_dims(space, shape.data(), nullptr), what);
  }
  shape[0] = at + rows;
  ok(H5Dset_extent(dataset, shape.data()), what);
  with_rows(dataset, at, rows, what,
            [&](hid_t memory, hid_t file) { return H5Dwrite(dataset, memory_type, memory, file, H5P_DEFAULT, values); });
}

Handle open_dataset(hid_t parent, const char* name, uint64_t file_size, Shape& shape) {
  set_up();
  const std::string what = concat("cannot open the dataset '", name, "'");
  check(has_link(parent, name), "the dataset '", name, "' is missing");
  check_hard(parent, name);
  Handle dataset(H5Dopen2(parent, name, H5P_DEFAULT), what);
  Handle type(H5Dget_type(dataset), what), space(H5Dget_space(dataset), what), creation(H5Dget_create_plist(dataset), what);
  const H5T_class_t kind = H5Tget_class(type);
  check((kind == H5T_INTEGER || kind == H5T_FLOAT) && H5Tget_size(type) <= kMaxNumberBytes, "the dataset '", name,
        "' holds no numbers");
  const int rank = H5Sget_simple_extent_ndims(space);
  check(rank == 1 || rank == 2, "the dataset '", name, "' has ", rank, " dimensions instead of 1 or 2");
  std::array<hsize_t, 2> dims{0, 1}, chunk{1, 1};
  ok(H5Sget_simple_extent_dims(space, dims.data(), nullptr), what);
  check(H5Pget_layout(creation) == H5D_CHUNKED, "the dataset '", name, "' is not stored in chunks");
  check_filters(creation, name);
  ok(H5Pget_chunk(creation, rank, chunk.data()), what);
  const uint64_t size = std::max<uint64_t>(1, H5Tget_size(type));
  check(chunk[0] > 0 && chunk[1] > 0 && chunk[0] <= kMaxChunkBytes / size / chunk[1], "the dataset '", name,
        "' has chunks of more than ", kMaxChunkBytes, " bytes");
  check(dims[1] > 0 && dims[1] <= file_size / size && dims[0] <= file_size / size / dims[1], "the dataset '", name, "' claims ",
        dims[0], " rows of ", dims[1], " values, which the file cannot hold");
  const hsize_t stored = H5Dget_storage_size(dataset);
  if (stored == 0 && H5Eget_num(H5E_DEFAULT) > 0) fail_with_reason(what);
  check(stored / size >= dims[0] * dims[1], "the dataset '", name, "' claims ", dims[0], " rows, more than are stored");
  shape = {dims[0], rank == 2 ? dims[1] : 0};
  return dataset;
}

void read_rows(hid_t dataset, const char* name, hid_t memory_type, uint64_t at, uint64_t rows, void* values) {
  if (rows == 0) return;
  static std::mutex one_reader;
  const std::lock_guard lock(one_reader);
  set_up();
  with_rows(dataset, at, rows, concat("cannot read the dataset '", name, "'"),
            [&](hid_t memory, hid_t file) { return H5Dread(dataset, memory_type, memory, file, H5P_DEFAULT, values); });
}

}  // namespace berth::data::h5
