#include "data/store/matrix_file.h"

#include <unistd.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <optional>
#include <string>

#include "data/check.h"
#include "data/files/files.h"
#include "data/store/column_writer.h"

namespace berth::data {
namespace {

namespace fs = std::filesystem;

static_assert(std::endian::native == std::endian::little, "the numbers are written as they lie in memory");

bool is_npy(const fs::path& path) { return path.extension() == ".npy"; }

}  // namespace

class MatrixFile::Format {
 public:
  explicit Format(const fs::path& path) : path_(path), durable_(path, ExitCode::kBadInput) {}
  virtual ~Format() = default;
  virtual void append(std::span<const float> row) = 0;
  void commit() {
    finish();
    durable_.commit();
    sync_folder(path_.parent_path(), ExitCode::kBadInput);
  }

 protected:
  virtual void finish() = 0;

  const fs::path path_;
  DurableFile durable_;  // whose temporary file is written by name
};

namespace {

class Npy final : public MatrixFile::Format {
 public:
  Npy(const fs::path& path, int64_t columns) : Format(path), columns_(columns) {
    errno = 0;
    file_.open(durable_.temporary(), std::ios::binary);
    write(header());
  }

  void append(std::span<const float> row) override {
    write({reinterpret_cast<const char*>(row.data()), row.size_bytes()});
    ++rows_;
  }

 private:
  static constexpr size_t kHeaderBytes = 128;  // a multiple of 64 with room for any number of rows

  // The number of rows is only known at the end: the header is written again then.
  void finish() override {
    file_.seekp(0);
    write(header());
    file_.close();
    check_written();
  }

  std::string header() const {
    std::string text = concat("{'descr': '<f4', 'fortran_order': False, 'shape': (", rows_, ", ", columns_, "), }");
    const std::string magic("\x93NUMPY\x01\x00", 8);
    const uint16_t size = kHeaderBytes - 10;
    text.resize(size - 1, ' ');
    return magic + std::string(reinterpret_cast<const char*>(&size), 2) + text + '\n';
  }

  void write(std::string_view bytes) {
    file_.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
    check_written();
  }
  void check_written() const {
    check(file_.good(), path_.string(), ": cannot be written", errno == 0 ? "" : ": ", errno == 0 ? "" : std::strerror(errno));
  }

  int64_t columns_, rows_ = 0;
  std::ofstream file_;
};

class Hdf5 final : public MatrixFile::Format {
 public:
  Hdf5(const fs::path& path, int64_t columns) : Format(path) {
    in_context(path.string(), [&] {
      file_ = h5::create_file(durable_.temporary());
      rows_.emplace(file_, "embeddings", H5T_IEEE_F32LE, static_cast<uint64_t>(columns));
    });
  }
  ~Hdf5() override {
    if (file_ < 0) return;
    // Emptied first: on a full disk HDF5 can then flush what it still holds, and closes.
    if (::truncate(durable_.temporary().c_str(), 0) != 0) errno = 0;
    rows_.reset();
  }

  void append(std::span<const float> row) override {
    in_context([&] { return path_.string(); }, [&] { rows_->append(row); });
  }

 private:
  void finish() override {
    in_context(path_.string(), [&] {
      rows_->finish();
      rows_.reset();
      h5::flush(file_);
      check(file_.close(), "cannot write the file");
    });
  }

  h5::Handle file_;
  std::optional<ColumnWriter<float>> rows_;
};

}  // namespace

bool MatrixFile::is_name(const fs::path& path) {
  return is_npy(path) || path.extension() == ".h5" || path.extension() == ".hdf5";
}

MatrixFile::MatrixFile(const fs::path& path, int64_t columns) {
  check_internal(is_name(path) && columns > 0, "a matrix file of ", columns, " columns named ", path.string());
  if (is_npy(path))
    format_ = std::make_unique<Npy>(path, columns);
  else
    format_ = std::make_unique<Hdf5>(path, columns);
}

MatrixFile::~MatrixFile() = default;

void MatrixFile::append(std::span<const float> row) { format_->append(row); }

void MatrixFile::commit() { format_->commit(); }

}  // namespace berth::data
