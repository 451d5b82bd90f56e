#include "trainer/kernels/bf16_products.h"

#include <ATen/native/CPUBlas.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "data/check.h"
#include "trainer/kernels/compute.h"
#include "trainer/kernels/dispatch.h"

namespace berth::train::bf16 {

#ifdef __x86_64__
namespace {

using at::native::cpublas::brgemm;
using Bits = uint16_t;

// What a thread makes of the result at a time, such that this and its share of the factors stay in the second-level cache.
constexpr int64_t kRows = 64, kColumns = 128;
constexpr int64_t kDepth = 2048;  // summed at a time
// The same where rows are summed over, whose number is another one in each batch: it is filled up with zeros to a multiple of kFilled, so that
// brgemm, which compiles a kernel for each shape, has few to compile.
constexpr int64_t kBatch = 512, kFilled = 8;

int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
int64_t parts(int64_t n, int64_t size) { return (n + size - 1) / size; }

const Bits* bits(const at::Tensor& x) { return reinterpret_cast<const Bits*>(x.const_data_ptr<at::BFloat16>()); }
Bits* mutable_bits(const at::Tensor& x) { return reinterpret_cast<Bits*>(x.mutable_data_ptr<at::BFloat16>()); }
const at::BFloat16* as_bf16(const Bits* x) { return reinterpret_cast<const at::BFloat16*>(x); }

__m128i read8(const Bits* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); }
void write8(Bits* to, __m128i v) { _mm_storeu_si128(reinterpret_cast<__m128i*>(to), v); }

// A second factor [depth, columns] in the layout that brgemm takes: panels of kColumns columns, in which pairs of rows are interleaved (VNNI),
// [panels, depth / 2, kColumns, 2]. Zeros fill up the columns to a multiple of 16 at least.
struct Packed {
  int64_t depth;
  at::Tensor memory;
  Bits* data;

  Packed(int64_t depth, int64_t columns)
      : depth(depth),
        memory(at::empty({parts(columns, kColumns) * depth * kColumns}, at::kBFloat16)),
        data(mutable_bits(memory)) {}
  Bits* at(int64_t row, int64_t column) const {
    return data + (column / kColumns * depth + row) * kColumns + 2 * (column % kColumns);
  }
};

// Rows [begin, end) of x, `begin` even; an odd last one has zeros beside it.
void pack_rows(const Bits* x, int64_t stride, int64_t columns, int64_t begin, int64_t end, const Packed& packed) {
  for (int64_t panel = 0; panel < columns; panel += kColumns)
    for (int64_t row = begin; row < end; row += 2) {
      const Bits *a = x + row * stride + panel, *b = row + 1 < end ? a + stride : nullptr;
      const int64_t width = std::min(kColumns, columns - panel);
      Bits* to = packed.at(row, panel);
      int64_t c = 0;
      for (; c + 8 <= width; c += 8) {
        const __m128i left = read8(a + c), right = b ? read8(b + c) : _mm_setzero_si128();
        write8(to + 2 * c, _mm_unpacklo_epi16(left, right));
        write8(to + 2 * c + 8, _mm_unpackhi_epi16(left, right));
      }
      for (; c < round_up(width, 16); ++c) {
        to[2 * c] = c < width ? a[c] : Bits{0};
        to[2 * c + 1] = c < width && b ? b[c] : Bits{0};
      }
    }
}

// Of 16 rows of 32 elements the pairs (16 words of 32 bits) are transposed: 16 rows of packed pairs, `to_stride` apart.
__attribute__((target("avx512f"))) void transpose_pairs(const Bits* x, int64_t stride, Bits* to, int64_t to_stride) {
  // Masked by nothing: the plain intrinsics of GCC 12 warn of an operand that they leave undefined.
  constexpr __mmask16 kAll = 0xffff;
  constexpr __mmask8 kAll64 = 0xff;
  __m512i a[16], b[16];
  for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_si512(x + i * stride);
  for (int i = 0; i < 16; i += 2) {
    b[i] = _mm512_maskz_unpacklo_epi32(kAll, a[i], a[i + 1]);
    b[i + 1] = _mm512_maskz_unpackhi_epi32(kAll, a[i], a[i + 1]);
  }
  for (int i = 0; i < 16; i += 4)
    for (int j = 0; j < 2; ++j) {
      a[i + 2 * j] = _mm512_maskz_unpacklo_epi64(kAll64, b[i + j], b[i + 2 + j]);
      a[i + 2 * j + 1] = _mm512_maskz_unpackhi_epi64(kAll64, b[i + j], b[i + 2 + j]);
    }
  // a[4 i + j]: of the rows 4 i to 4 i + 3 the words j, 4 + j, 8 + j, 12 + j, each in a quarter.
  for (int j = 0; j < 4; ++j) {
    const __m512i even0 = _mm512_maskz_shuffle_i32x4(kAll, a[j], a[4 + j], 0x88),
                  odd0 = _mm512_maskz_shuffle_i32x4(kAll, a[j], a[4 + j], 0xdd),
                  even1 = _mm512_maskz_shuffle_i32x4(kAll, a[8 + j], a[12 + j], 0x88),
                  odd1 = _mm512_maskz_shuffle_i32x4(kAll, a[8 + j], a[12 + j], 0xdd);
    _mm512_storeu_si512(to + j * to_stride, _mm512_maskz_shuffle_i32x4(kAll, even0, even1, 0x88));
    _mm512_storeu_si512(to + (4 + j) * to_stride, _mm512_maskz_shuffle_i32x4(kAll, odd0, odd1, 0x88));
    _mm512_storeu_si512(to + (8 + j) * to_stride, _mm512_maskz_shuffle_i32x4(kAll, even0, even1, 0xdd));
    _mm512_storeu_si512(to + (12 + j) * to_stride, _mm512_maskz_shuffle_i32x4(kAll, odd0, odd1, 0xdd));
  }
}

// The columns [column, column + 16) of the transpose of x [columns, depth], `depth` even.
void pack_transposed(const Bits* x, int64_t stride, int64_t columns, int64_t column, const Packed& packed) {
  int64_t k = 0;
  for (; column + 16 <= columns && k + 32 <= packed.depth; k += 32)
    transpose_pairs(x + column * stride + k, stride, packed.at(k, column), 2 * kColumns);
  for (; k < packed.depth; k += 2)
    for (int64_t i = column; i < column + 16; ++i)
      for (int64_t j = 0; j < 2; ++j) packed.at(k, i)[j] = i < columns ? x[i * stride + k + j] : Bits{0};
}

// The transpose of x [rows, columns] as [columns, kBatch], its rows filled up with zeros to `depth`.
void transpose(const Bits* x, int64_t stride, int64_t rows, int64_t columns, int64_t depth, Bits* to) {
  for (int64_t r = 0; r < depth; r += 8) {
    int64_t c = 0;
    for (; r + 8 <= rows && c + 8 <= columns; c += 8) {
      __m128i v[8], w[8];
      for (int64_t i = 0; i < 8; ++i) v[i] = read8(x + (r + i) * stride + c);
      for (int i = 0; i < 4; ++i) {  // 16 bits of two rows beside each other, then 32, then 64
        w[2 * i] = _mm_unpacklo_epi16(v[2 * i], v[2 * i + 1]);
        w[2 * i + 1] = _mm_unpackhi_epi16(v[2 * i], v[2 * i + 1]);
      }
      for (int i = 0; i < 2; ++i)
        for (int half = 0; half < 2; ++half) {
          v[4 * i + 2 * half] = _mm_unpacklo_epi32(w[4 * i + half], w[4 * i + 2 + half]);
          v[4 * i + 2 * half + 1] = _mm_unpackhi_epi32(w[4 * i + half], w[4 * i + 2 + half]);
        }
      for (int64_t i = 0; i < 4; ++i) {
        write8(to + (c + 2 * i) * kBatch + r, _mm_unpacklo_epi64(v[i], v[4 + i]));
        write8(to + (c + 2 * i + 1) * kBatch + r, _mm_unpackhi_epi64(v[i], v[4 + i]));
      }
    }
    for (; c < columns; ++c)
      for (int64_t i = r; i < r + 8; ++i) to[c * kBatch + i] = i < rows ? x[i * stride + c] : Bits{0};
  }
}

// y (+)= x packed + bias, `packed` of as many rows as x has columns.
void multiply(const cpu::Table& table, const at::Tensor& x, const Packed& packed, const at::Tensor& bias, bool accumulate,
              const at::Tensor& y) {
  const int64_t rows = y.size(0), columns = y.size(1), depth = x.size(1), row_parts = parts(rows, kRows);
  at::parallel_for(0, row_parts * parts(columns, kColumns), 1, [&](int64_t begin, int64_t end) {
    float* sums = cpu::thread_scratch(kRows * kColumns);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i % row_parts * kRows, column = i / row_parts * kColumns;
      const int64_t height = std::min(kRows, rows - row), width = std::min(kColumns, columns - column);
      for (int64_t k = 0; k < depth; k += kDepth)
        brgemm(height, round_up(width, 16), std::min(kDepth, depth - k), x.stride(0), kColumns, kColumns, /*add_C=*/k > 0,
               as_bf16(bits(x) + row * x.stride(0) + k), as_bf16(packed.at(k, column)), sums);
      table.round_products(sums, kColumns, bias.defined() ? cpu::data<cpu::Bf16>(bias) + column : nullptr, accumulate,
                           cpu::data<cpu::Bf16>(y) + row * y.stride(0) + column, y.stride(0), height, width);
    }
    at::native::cpublas::brgemm_release();
  });
}

}  // namespace

bool available() {
  static const bool found = [] {
    if (!cpu_multiplies_bf16()) return false;
    try {
      const std::vector<at::BFloat16> ones(16 * 16, at::BFloat16(1.f));
      std::vector<float> sums(16 * 16, 1.f);
      brgemm(16, 16, 16, 16, 16, 16, /*add_C=*/true, ones.data(), ones.data(), sums.data());
      at::native::cpublas::brgemm_release();
      return std::all_of(sums.begin(), sums.end(), [](float sum) { return sum == 17.f; });
    } catch (const std::exception&) {  // oneDNN was told to use less than the CPU has (ONEDNN_MAX_CPU_ISA)
      return false;
    }
  }();
  return found;
}

bool takes(const at::Tensor& weight) {
  return weight.size(0) % 2 == 0 && weight.size(1) % 16 == 0 && weight.numel() >= kRows * kRows;
}

at::Tensor linear_forward(const cpu::Table& table, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const int64_t columns = weight.size(0), depth = weight.size(1);
  const Packed packed(depth, columns);
  at::parallel_for(0, parts(columns, 16), 4, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) pack_transposed(bits(weight), weight.stride(0), columns, i * 16, packed);
  });
  const at::Tensor y = at::empty({x.size(0), columns}, x.options());
  multiply(table, x, packed, bias, /*accumulate=*/false, y);
  return y;
}

void linear_backward_input(const cpu::Table& table, const at::Tensor& dy, const at::Tensor& weight, const at::Tensor& dx,
                           bool accumulate) {
  const Packed packed(weight.size(0), weight.size(1));
  at::parallel_for(0, weight.size(0) / 2, 16, [&](int64_t begin, int64_t end) {
    pack_rows(bits(weight), weight.stride(0), weight.size(1), 2 * begin, 2 * end, packed);
  });
  multiply(table, dy, packed, {}, accumulate, dx);
}

void linear_backward_weight(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& grad, bool accumulate) {
  const int64_t rows = grad.size(0), columns = grad.size(1), batch = x.size(0);
  if (batch == 0 && !accumulate) grad.zero_();
  const Packed packed(std::min(kBatch, round_up(batch, kFilled)), columns);
  for (int64_t from = 0; from < batch; from += kBatch) {
    const int64_t taken = std::min(kBatch, batch - from), depth = round_up(taken, kFilled), pairs = parts(taken, 2);
    at::parallel_for(0, pairs, 16, [&](int64_t begin, int64_t end) {
      pack_rows(bits(x) + from * x.stride(0), x.stride(0), columns, 2 * begin, std::min(2 * end, taken), packed);
    });
    for (int64_t column = 0; column < columns; column += kColumns)
      std::fill(packed.at(2 * pairs, column), packed.at(2 * pairs, column) + (depth - 2 * pairs) * kColumns, Bits{0});
    at::parallel_for(0, parts(rows, kRows), 1, [&](int64_t begin, int64_t end) {
      const at::Tensor memory = at::empty({kRows, kBatch}, at::kBFloat16);
      Bits* transposed = mutable_bits(memory);
      for (int64_t row = begin * kRows; row < std::min(end * kRows, rows); row += kRows) {
        const int64_t height = std::min(kRows, rows - row);
        transpose(bits(dy) + from * dy.stride(0) + row, dy.stride(0), taken, height, depth, transposed);
        for (int64_t column = 0; column < columns; column += kColumns)
          brgemm(height, std::min(kColumns, columns - column), depth, kBatch, kColumns, grad.stride(0),
                 /*add_C=*/accumulate || from > 0, as_bf16(transposed), as_bf16(packed.at(0, column)),
                 grad.mutable_data_ptr<float>() + row * grad.stride(0) + column);
      }
      at::native::cpublas::brgemm_release();
    });
  }
}

#else  // brgemm multiplies no bf16 elsewhere

bool available() { return false; }
bool takes(const at::Tensor& /*weight*/) { return false; }
at::Tensor linear_forward(const cpu::Table&, const at::Tensor&, const at::Tensor&, const at::Tensor&) {
  fail(ExitCode::kInternal, "no products of bf16");
}
void linear_backward_input(const cpu::Table&, const at::Tensor&, const at::Tensor&, const at::Tensor&, bool) {
  fail(ExitCode::kInternal, "no products of bf16");
}
void linear_backward_weight(const at::Tensor&, const at::Tensor&, const at::Tensor&, bool) {
  fail(ExitCode::kInternal, "no products of bf16");
}

#endif

}  // namespace berth::train::bf16
