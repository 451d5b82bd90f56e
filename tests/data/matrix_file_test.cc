// Files of rows, byte by byte and through HDF5. (NumPy and h5py read them in tests/golden/compare_embeddings.py.)
#include "data/store/matrix_file.h"

#include <gtest/gtest.h>

#include <array>
#include <cstring>

#include "data/check.h"
#include "data/hdf5/hdf5.h"
#include "tests/support/temp_dir.h"

namespace berth::data {
namespace {

using test::read_bytes;
using test::TempDir;

void write_rows(const std::filesystem::path& path, int rows) {
  MatrixFile file(path, 3);
  for (int row = 0; row < rows; ++row) {
    const std::array<float, 3> values{static_cast<float>(row), 0.5f, -1.f / 3};
    file.append(values);
  }
  file.commit();
}

TEST(MatrixFile, NpyIsNumPysFormat) {
  const TempDir dir;
  for (const int rows : {0, 1, 30'000}) {
    write_rows(dir / "a.npy", rows);
    const std::string bytes = read_bytes(dir / "a.npy");
    ASSERT_EQ(bytes.size(), 128u + 12u * static_cast<size_t>(rows));
    const std::string header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + std::to_string(rows) + ", 3), }";
    EXPECT_EQ(bytes.substr(0, 10), std::string("\x93NUMPY\x01\x00\x76\x00", 10));
    EXPECT_EQ(bytes.substr(10, 117), header + std::string(117 - header.size(), ' '));
    EXPECT_EQ(bytes[127], '\n');
    for (int row = 0; row < rows; row += 997) {
      std::array<float, 3> values;
      std::memcpy(values.data(), bytes.data() + 128 + 12 * row, 12);
      EXPECT_EQ(values, (std::array<float, 3>{static_cast<float>(row), 0.5f, -1.f / 3}));
    }
  }
}

TEST(MatrixFile, Hdf5HasTheRows) {
  const TempDir dir;
  for (const int rows : {0, 1, 30'000}) {
    write_rows(dir / "a.h5", rows);
    const h5::Handle file = h5::open_file(dir / "a.h5");
    h5::Shape shape;
    const h5::Handle dataset = h5::open_dataset(file, "embeddings", std::filesystem::file_size(dir / "a.h5"), shape);
    EXPECT_EQ(shape.rows, static_cast<uint64_t>(rows));
    EXPECT_EQ(shape.width, 3u);
    std::vector<float> values(static_cast<size_t>(3 * rows));
    if (rows > 0) h5::read_rows(dataset, "embeddings", h5::native_type<float>(), 0, shape.rows, values.data());
    for (int row = 0; row < rows; ++row) ASSERT_EQ(values[static_cast<size_t>(3 * row)], static_cast<float>(row));
  }
}

TEST(MatrixFile, WithoutCommitThereIsNothing) {
  const TempDir dir;
  for (const char* name : {"a.npy", "a.h5"}) {
    MatrixFile file(dir / name, 3);
    file.append(std::array<float, 3>{1, 2, 3});
  }
  EXPECT_TRUE(std::filesystem::is_empty(dir.path()));
  EXPECT_THROW(MatrixFile(dir / "absent" / "a.npy", 3), Error);
  EXPECT_FALSE(MatrixFile::is_name("a.jsonl"));
}

}  // namespace
}  // namespace berth::data
