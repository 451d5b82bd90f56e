#include "trainer/kernels/cpu_products.h"

#include <ATen/native/CPUBlas.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "data/check.h"
#include "trainer/kernels/compute.h"
#include "trainer/kernels/dispatch.h"

namespace berth::train::products {

#ifdef __x86_64__
namespace {

using at::native::cpublas::brgemm;
using cpu::Bf16;

// What a thread makes of the result at a time, such that this and its share of the factors stay in the second-level cache.
constexpr int64_t kRows = 64, kColumns = 128;
constexpr int64_t kDepth = 2048;  // summed at a time
// brgemm compiles, and keeps, a kernel for each shape, and the number of rows is another one in each batch: what is left of them is computed in
// steps of kStep. Where rows are summed over, kBatch at a time, they are filled up with zeros to a multiple of kFilled. Transposed rows lie
// kPitch apart: not a power of two, for the cache.
constexpr int64_t kStep = 4, kBatch = 512, kFilled = 8, kPitch = kBatch + 32;

int64_t round_up(int64_t n, int64_t multiple) { return (n + multiple - 1) / multiple * multiple; }
int64_t parts(int64_t n, int64_t size) { return (n + size - 1) / size; }

template <class T>
constexpr at::ScalarType type_of() {
  return std::is_same_v<T, float> ? at::kFloat : at::kBFloat16;
}

// A second factor [depth, columns] as brgemm takes it: [panels, depth, kColumns], or, in fp32, as it lies somewhere. In bf16 pairs of rows are
// interleaved (VNNI), [panels, depth / 2, kColumns, 2].
template <class T>
struct Factor {
  // Elements of a column that lie beside each other, in a word of 32 bits.
  static constexpr int64_t kPair = sizeof(float) / sizeof(T);
  T* data;
  int64_t depth;
  int64_t panel;   // elements from a panel of kColumns columns to the next
  int64_t stride;  // and from a row to the next
  T* at(int64_t row, int64_t column) const { return data + column / kColumns * panel + row * stride + column % kColumns * kPair; }
};

// In memory of its own.
template <class T>
struct Packed : Factor<T> {
  Packed(int64_t depth, int64_t columns)
      : Packed(depth, at::empty({parts(columns, kColumns) * depth * kColumns}, type_of<T>())) {}
  Packed(int64_t depth, const at::Tensor& memory)
      : Factor<T>{cpu::data<T>(memory), depth, depth * kColumns, kColumns}, memory(memory) {}
  at::Tensor memory;
};

// c (+)= a b of some of b's rows and, within a panel, columns.
void multiply_add(int64_t rows, int64_t columns, int64_t depth, const float* a, int64_t a_stride, const Factor<float>& b,
                  int64_t b_row, int64_t b_column, float* c, int64_t c_stride, bool add) {
  brgemm(rows, columns, depth, a_stride, b.stride, c_stride, add, a, b.at(b_row, b_column), c);
}
// Zeros fill up b's columns to a multiple of 16; c has room for them.
void multiply_add(int64_t rows, int64_t columns, int64_t depth, const Bf16* a, int64_t a_stride, const Factor<Bf16>& b,
                  int64_t b_row, int64_t b_column, float* c, int64_t c_stride, bool add) {
  brgemm(rows, round_up(columns, 16), depth, a_stride, b.stride, c_stride, add, reinterpret_cast<const at::BFloat16*>(a),
         reinterpret_cast<const at::BFloat16*>(b.at(b_row, b_column)), c);
}

// Rows [begin, end) of x, `begin` even; an odd last one has zeros beside it.
void pack_rows(const float* x, int64_t stride, int64_t columns, int64_t begin, int64_t end, const Factor<float>& packed) {
  for (int64_t panel = 0; panel < columns; panel += kColumns)
    for (int64_t row = begin; row < end; ++row)
      std::copy_n(x + row * stride + panel, std::min(kColumns, columns - panel), packed.at(row, panel));
}
void pack_rows(const Bf16* x, int64_t stride, int64_t columns, int64_t begin, int64_t end, const Factor<Bf16>& packed) {
  const auto read = [](const Bf16* from) { return _mm_loadu_si128(reinterpret_cast<const __m128i*>(from)); };
  for (int64_t panel = 0; panel < columns; panel += kColumns)
    for (int64_t row = begin; row < end; row += 2) {
      const Bf16 *a = x + row * stride + panel, *b = row + 1 < end ? a + stride : nullptr;
      const int64_t width = std::min(kColumns, columns - panel);
      Bf16* to = packed.at(row, panel);
      int64_t c = 0;
      for (; c + 8 <= width; c += 8) {
        const __m128i left = read(a + c), right = b ? read(b + c) : _mm_setzero_si128();
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 2 * c), _mm_unpacklo_epi16(left, right));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(to + 2 * c + 8), _mm_unpackhi_epi16(left, right));
      }
      for (; c < round_up(width, 16); ++c) {
        to[2 * c] = c < width ? a[c] : Bf16{};
        to[2 * c + 1] = c < width && b ? b[c] : Bf16{};
      }
    }
}

// 16 rows of 16 words of 32 bits, transposed. Strides in bytes.
__attribute__((target("avx512f"))) void transpose_words(const void* from, int64_t stride, void* into, int64_t to_stride) {
  // Masked by nothing: the plain intrinsics of GCC 12 warn of an operand that they leave undefined.
  constexpr __mmask16 kAll = 0xffff;
  constexpr __mmask8 kAll64 = 0xff;
  const auto* x = static_cast<const std::byte*>(from);
  auto* to = static_cast<std::byte*>(into);
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

// The columns [column, column + 16) of the transpose of x [columns, depth]; in bf16 `depth` is even.
template <class T>
void pack_transposed(const T* x, int64_t stride, int64_t columns, int64_t column, const Factor<T>& packed) {
  constexpr int64_t kPair = Factor<T>::kPair;
  int64_t k = 0;
  for (; column + 16 <= columns && k + 16 * kPair <= packed.depth; k += 16 * kPair)
    transpose_words(x + column * stride + k, stride * static_cast<int64_t>(sizeof(T)), packed.at(k, column), kColumns * 4);
  for (; k < packed.depth; k += kPair)
    for (int64_t i = column; i < column + 16; ++i)
      for (int64_t j = 0; j < kPair; ++j) packed.at(k, i)[j] = i < columns ? x[i * stride + k + j] : T{};
}

// The transpose of x [rows, columns] as [columns, kPitch], its rows filled up with zeros to `depth`.
void transpose(const float* x, int64_t stride, int64_t rows, int64_t columns, int64_t depth, float* to) {
  for (int64_t r = 0; r < depth; r += 16) {
    int64_t c = 0;
    for (; r + 16 <= rows && c + 16 <= columns; c += 16)
      transpose_words(x + r * stride + c, stride * 4, to + c * kPitch + r, kPitch * 4);
    for (; c < columns; ++c)
      for (int64_t i = r; i < std::min(r + 16, depth); ++i) to[c * kPitch + i] = i < rows ? x[i * stride + c] : 0.f;
  }
}
void transpose(const Bf16* x, int64_t stride, int64_t rows, int64_t columns, int64_t depth, Bf16* to) {
  for (int64_t r = 0; r < depth; r += 8) {
    int64_t c = 0;
    for (; r + 8 <= rows && c + 8 <= columns; c += 8) {
      __m128i v[8], w[8];
      for (int64_t i = 0; i < 8; ++i) v[i] = _mm_loadu_si128(reinterpret_cast<const __m128i*>(x + (r + i) * stride + c));
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
        Bf16* row = to + (c + 2 * i) * kPitch + r;
        _mm_storeu_si128(reinterpret_cast<__m128i*>(row), _mm_unpacklo_epi64(v[i], v[4 + i]));
        _mm_storeu_si128(reinterpret_cast<__m128i*>(row + kPitch), _mm_unpackhi_epi64(v[i], v[4 + i]));
      }
    }
    for (; c < columns; ++c)
      for (int64_t i = r; i < r + 8; ++i) to[c * kPitch + i] = i < rows ? x[i * stride + c] : Bf16{};
  }
}

// y (+)= x b + bias; bias null: none.
template <class T>
void multiply(const cpu::Table& table, const at::Tensor& x, const Factor<T>& b, const T* bias, bool accumulate,
              const at::Tensor& y) {
  const int64_t rows = y.size(0), columns = y.size(1), depth = x.size(1), row_parts = parts(rows, kRows);
  const T* from = cpu::data<T>(x);
  T* to = cpu::data<T>(y);
  at::parallel_for(0, row_parts * parts(columns, kColumns), 1, [&](int64_t begin, int64_t end) {
    float* sums = cpu::thread_scratch(kRows * kColumns);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t row = i % row_parts * kRows, column = i / row_parts * kColumns;
      const int64_t height = std::min(kRows, rows - row), width = std::min(kColumns, columns - column);
      // The last rows, with some of those before them once more, so that there are few heights to compile.
      const int64_t again = std::min(round_up(height, kStep) - height, row);
      for (int64_t k = 0; k < depth; k += kDepth)
        multiply_add(again + height, width, std::min(kDepth, depth - k), from + (row - again) * x.stride(0) + k, x.stride(0), b,
                     k, column, sums, kColumns, /*add=*/k > 0);
      typed(table, T())
          .round_products(sums + again * kColumns, kColumns, bias == nullptr ? nullptr : bias + column, accumulate,
                          to + row * y.stride(0) + column, y.stride(0), height, width);
    }
    at::native::cpublas::brgemm_release();
  });
}

// Calls f(column, width, memory) for a part of a second factor's columns after the other, a panel a thread: what is packed into that memory is used
// while it is in their caches.
template <class T, class F>
void panel_by_panel(int64_t depth, int64_t columns, const F& f) {
  const int64_t most = at::get_num_threads() * kColumns;
  const Packed<T> packed(depth, std::min(columns, most));
  for (int64_t column = 0; column < columns; column += most) f(column, std::min(most, columns - column), packed);
}

template <class T>
void add_transposed_product(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& grad, bool accumulate) {
  const int64_t rows = grad.size(0), columns = grad.size(1), batch = x.size(0);
  const Packed<T> packed(std::min(kBatch, round_up(batch, kFilled)), columns);
  for (int64_t from = 0; from < batch; from += kBatch) {
    const int64_t taken = std::min(kBatch, batch - from), depth = round_up(taken, kFilled), pairs = parts(taken, 2);
    at::parallel_for(0, pairs, 16, [&](int64_t begin, int64_t end) {
      pack_rows(cpu::data<T>(x) + from * x.stride(0), x.stride(0), columns, 2 * begin, std::min(2 * end, taken), packed);
    });
    const int64_t packed_rows = round_up(taken, Factor<T>::kPair);
    for (int64_t column = 0; column < columns; column += kColumns)
      std::fill_n(packed.at(packed_rows, column), (depth - packed_rows) * kColumns, T{});
    at::parallel_for(0, parts(rows, kRows), 1, [&](int64_t begin, int64_t end) {
      const at::Tensor transposed = at::empty({kRows, kPitch}, type_of<T>());
      for (int64_t row = begin * kRows; row < std::min(end * kRows, rows); row += kRows) {
        const int64_t height = std::min(kRows, rows - row);
        transpose(cpu::data<T>(dy) + from * dy.stride(0) + row, dy.stride(0), taken, height, depth, cpu::data<T>(transposed));
        for (int64_t column = 0; column < columns; column += kColumns)
          multiply_add(height, std::min(kColumns, columns - column), depth, cpu::data<T>(transposed), kPitch, packed, 0, column,
                       cpu::data<float>(grad) + row * grad.stride(0) + column, grad.stride(0), /*add=*/accumulate || from > 0);
      }
      at::native::cpublas::brgemm_release();
    });
  }
}

// Of 16 x 16 ones.
template <class T>
bool multiplies() {
  try {
    const at::Tensor ones = at::ones({16, kColumns}, type_of<T>()), sums = at::ones({16, 16});
    multiply_add(16, 16, 16, cpu::data<T>(ones), kColumns, Packed<T>(16, ones), 0, 0, cpu::data<float>(sums), 16, /*add=*/true);
    at::native::cpublas::brgemm_release();
    return sums.eq(17).all().item<bool>();
  } catch (const std::exception&) {  // oneDNN was told to use less than the CPU has (ONEDNN_MAX_CPU_ISA)
    return false;
  }
}

// libtorch may be told to use less than the CPU has (ATEN_CPU_CAPABILITY).
bool has_avx512() {
  const std::string allowed = at::get_cpu_capability();
  return &cpu::best_table() == &cpu::kTable_avx512 && allowed != "AVX2" && allowed != "DEFAULT";
}

}  // namespace

bool available(at::ScalarType type) {
  static const bool fp32 = has_avx512() && !__builtin_cpu_is("intel") && multiplies<float>();
  static const bool bf16 = has_avx512() && cpu_multiplies_bf16() && multiplies<Bf16>();
  return type == at::kFloat ? fp32 : type == at::kBFloat16 && bf16;
}

bool takes(const at::Tensor& weight, at::ScalarType type) {
  constexpr int64_t kMostRows = 8192;  // of fp32: MKL is the faster one with vocabularies
  return weight.size(0) % 2 == 0 && weight.size(1) % 16 == 0 && weight.numel() >= kRows * kRows &&
         (type != at::kFloat || weight.size(0) <= kMostRows);
}

at::Tensor linear_forward(const cpu::Table& table, const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) {
  const int64_t depth = weight.size(1), stride = weight.stride(0);
  const at::Tensor y = at::empty({x.size(0), weight.size(0)}, x.options());
  cpu::by_type(x.scalar_type(), [&](auto type) {
    using T = decltype(type);
    panel_by_panel<T>(depth, weight.size(0), [&](int64_t column, int64_t width, const Factor<T>& packed) {
      at::parallel_for(0, parts(width, 16), 4, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i)
          pack_transposed(cpu::data<T>(weight) + column * stride, stride, width, i * 16, packed);
      });
      multiply(table, x, packed, cpu::data<T>(bias) + column, /*accumulate=*/false, y.narrow(1, column, width));
    });
  });
  return y;
}

void linear_backward_input(const cpu::Table& table, const at::Tensor& dy, const at::Tensor& weight, const at::Tensor& dx,
                           bool accumulate) {
  const int64_t rows = weight.size(0), columns = weight.size(1), stride = weight.stride(0);
  constexpr int64_t kWorthPacking = 512;  // rows; fp32 can be read where it lies, if less well
  if (dy.scalar_type() == at::kFloat && dy.size(0) < kWorthPacking)
    return multiply<float>(table, dy, {cpu::data<float>(weight), rows, kColumns, stride}, nullptr, accumulate, dx);
  cpu::by_type(dy.scalar_type(), [&](auto type) {
    using T = decltype(type);
    panel_by_panel<T>(rows, columns, [&](int64_t column, int64_t width, const Factor<T>& packed) {
      at::parallel_for(0, rows / 2, 16, [&](int64_t begin, int64_t end) {
        pack_rows(cpu::data<T>(weight) + column, stride, width, 2 * begin, 2 * end, packed);
      });
      multiply<T>(table, dy, packed, nullptr, accumulate, dx.narrow(1, column, width));
    });
  });
}

void linear_backward_weight(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& grad, bool accumulate) {
  if (x.size(0) == 0 && !accumulate) grad.zero_();
  cpu::by_type(x.scalar_type(), [&](auto type) { add_transposed_product<decltype(type)>(dy, x, grad, accumulate); });
}

#else

bool available(at::ScalarType /*type*/) { return false; }
bool takes(const at::Tensor& /*weight*/, at::ScalarType /*type*/) { return false; }
at::Tensor linear_forward(const cpu::Table&, const at::Tensor&, const at::Tensor&, const at::Tensor&) {
  fail(ExitCode::kInternal, "no products of berth's own");
}
void linear_backward_input(const cpu::Table&, const at::Tensor&, const at::Tensor&, const at::Tensor&, bool) {
  fail(ExitCode::kInternal, "no products of berth's own");
}
void linear_backward_weight(const at::Tensor&, const at::Tensor&, const at::Tensor&, bool) {
  fail(ExitCode::kInternal, "no products of berth's own");
}

#endif

}  // namespace berth::train::products
