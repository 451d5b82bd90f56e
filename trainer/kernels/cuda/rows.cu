#include "trainer/kernels/cuda/kernels.h"
#include "trainer/kernels/cuda/rows.cuh"

namespace berth::train::cuda {
namespace {

unsigned blocks_for(int64_t count, int64_t each) { return static_cast<unsigned>((count + each - 1) / each); }

template <class Layout, class T>
__global__ void __launch_bounds__(kNormThreads)
    add_norm_forward_kernel(NormArgs<T> args, const T* x, const T* residual, T* out, int64_t rows) {
  const int64_t n = args.rows.columns, row = Layout::first_row();
  if (row >= rows) return;  // all of the row's threads, and no block_sum crosses rows
  Numbers<T, 8> to_drop[Layout::kChunks], to_add[Layout::kChunks];
  BERTH_UNROLL
  for (int k = 0; k < Layout::kChunks; ++k) {
    to_drop[k] = load8<Layout::kVectors>(x + row * n, 8 * Layout::unit(k), n);
    to_add[k] = load8<Layout::kVectors>(residual + row * n, 8 * Layout::unit(k), n);
  }
  const Place place = place_of(args.rows, args.dropout, row);
  float values[Layout::kChunks][8];
  BERTH_UNROLL
  for (int k = 0; k < Layout::kChunks; ++k) {
    BERTH_UNROLL
    for (int i = 0; i < 8; ++i) values[k][i] = to_float(to_drop[k].at[i]);
    drop<Layout>(args.dropout, place, k, values[k]);
    BERTH_UNROLL
    for (int i = 0; i < 8; ++i) values[k][i] += to_float(to_add[k].at[i]);
  }
  normalize<Layout>(args, row, values);
  BERTH_UNROLL
  for (int k = 0; k < Layout::kChunks; ++k) store8<Layout::kVectors>(out + row * n, 8 * Layout::unit(k), n, values[k]);
}

template <class Layout, class T>
__global__ void __launch_bounds__(kNormThreads, 2)
    add_norm_backward_kernel(NormArgs<T> args, const T* d_out, T* dx, T* d_residual, int64_t rows, float* partials) {
  const int64_t n = args.rows.columns;
  normalize_backward<Layout, 3>(
      args, rows, partials,
      [&](const Place& place, float(&d)[Layout::kChunks][8]) {
        Numbers<T, 8> given[Layout::kChunks];
        BERTH_UNROLL
        for (int k = 0; k < Layout::kChunks; ++k)
          given[k] = load8<Layout::kVectors>(d_out + place.row * n, 8 * Layout::unit(k), n);
        BERTH_UNROLL
        for (int k = 0; k < Layout::kChunks; ++k) BERTH_UNROLL
        for (int i = 0; i < 8; ++i) d[k][i] = to_float(given[k].at[i]);
      },
      [&](const Place& place, int k, float(&d)[8]) {
        store8<Layout::kVectors>(d_residual + place.row * n, 8 * Layout::unit(k), n, d);
        if (args.dropout.threshold == 0) return;
        drop<Layout>(args.dropout, place, k, d);
        store8<Layout::kVectors>(dx + place.row * n, 8 * Layout::unit(k), n, d);
      });
}

// A warp takes 32 units of eight columns of a row.
template <bool kVectors, class T>
__global__ void __launch_bounds__(256)
    dropout_kernel(RowArgs row_args, DropoutArgs dropout, const T* x, T* out, int64_t rows, int64_t pieces) {
  const int64_t n = row_args.columns, warp = int64_t{blockIdx.x} * (blockDim.x / 32) + threadIdx.x / 32;
  const int64_t row = warp / pieces, unit = warp % pieces * 32 + threadIdx.x % 32;
  if (row >= rows) return;
  const auto given = load8<kVectors>(x + row * n, 8 * unit, n);
  const uint32_t bits = keep8(dropout, row_args.samples[row], row_args.positions[row], unit);
  float values[8];
  BERTH_UNROLL
  for (int i = 0; i < 8; ++i) values[i] = (bits >> i & 1) != 0 ? to_float(given.at[i]) * dropout.scale : 0.f;
  store8<kVectors>(out + row * n, 8 * unit, n, values);
}

template <bool kVectors, class T>
__global__ void __launch_bounds__(kTileThreads)
    column_sums_kernel(const T* x, int64_t rows, int64_t columns, int64_t stride, float* partials) {
  sum_tile(rows, columns, partials, [&](int64_t row, int64_t c, float(&values)[8]) {
    const auto given = load8<kVectors>(x + row * stride, c, columns);
    BERTH_UNROLL
    for (int i = 0; i < 8; ++i) values[i] = to_float(given.at[i]);
  });
}

// A block takes 32 columns of one of the sums; its warps take every 32nd partial sum each, and are then added in order.
__global__ void __launch_bounds__(1024) partial_sums_kernel(PartialSums args) {
  constexpr int kWarps = 32;
  float* sums = blockIdx.y == 0 ? args.sums[0] : blockIdx.y == 1 ? args.sums[1] : args.sums[2];
  if (sums == nullptr) return;
  const int warp = static_cast<int>(threadIdx.x) / 32, lane = static_cast<int>(threadIdx.x) % 32;
  const int64_t c = int64_t{blockIdx.x} * 32 + lane;
  const float* partials = args.partials + blockIdx.y * args.count * args.columns;
  float total = 0;
  if (c < args.columns) {
#ifdef __CUDACC__
#pragma unroll 8
#endif
    for (int64_t i = warp; i < args.count; i += kWarps) total += partials[i * args.columns + c];
  }
  __shared__ float all[kWarps][32];
  all[warp][lane] = total;
  __syncthreads();
  if (warp > 0 || c >= args.columns) return;
  total = 0;
  BERTH_UNROLL
  for (int w = 0; w < kWarps; ++w) total += all[w][lane];
  sums[c] += total;
}

}  // namespace

void add_partial_sums(const PartialSums& args, int sums, Stream stream) {
  launch(partial_sums_kernel, dim3(blocks_for(args.columns, 32), static_cast<unsigned>(sums)), 1024, 0, stream, args);
}

template <class T>
void add_norm_forward(const NormArgs<T>& args, const T* x, const T* residual, T* out, int64_t rows, Stream stream) {
  const int64_t n = args.rows.columns;
  const bool aligned = rows_are_aligned(x, n) && rows_are_aligned(residual, n) && rows_are_aligned(out, n) &&
                       rows_are_aligned(args.normalized, n) && rows_are_aligned(args.gamma, n) && rows_are_aligned(args.beta, n);
  with_layout(n, aligned, [&]<class Layout>(Layout) {
    if (rows > 0)
      launch(add_norm_forward_kernel<Layout, T>, blocks_for(rows, Layout::kRows), kNormThreads, 0, stream, args, x, residual, out,
             rows);
  });
}

template <class T>
void add_norm_backward(const NormArgs<T>& args, const T* d_out, T* dx, T* d_residual, float* gamma_grad, float* beta_grad,
                       float* bias_grad, int64_t rows, float* workspace, Stream stream) {
  const int64_t n = args.rows.columns;
  const bool aligned = rows_are_aligned(d_out, n) && rows_are_aligned(dx, n) && rows_are_aligned(d_residual, n) &&
                       rows_are_aligned(args.normalized, n) && rows_are_aligned(args.gamma, n) && rows_are_aligned(workspace, n);
  with_layout(n, aligned, [&]<class Layout>(Layout) {
    if (rows == 0) return;
    const int64_t blocks = norm_backward_blocks<Layout>(rows);
    launch(add_norm_backward_kernel<Layout, T>, static_cast<unsigned>(blocks), kNormThreads, 0, stream, args, d_out, dx,
           d_residual, rows, workspace);
    if (gamma_grad != nullptr || beta_grad != nullptr || bias_grad != nullptr)
      add_partial_sums({workspace, blocks, n, {gamma_grad, beta_grad, bias_grad}}, 3, stream);
  });
}

int64_t add_norm_backward_workspace(int64_t rows, int64_t columns) { return 3 * std::min(rows, kNormMostBlocks) * columns; }

template <class T>
void dropout_rows(const RowArgs& row_args, const DropoutArgs& dropout, const T* x, T* out, int64_t rows, Stream stream) {
  const int64_t n = row_args.columns, pieces = (n + 255) / 256;
  if (rows == 0 || n == 0) return;
  const bool aligned = rows_are_aligned(x, n) && rows_are_aligned(out, n);
  launch(aligned ? dropout_kernel<true, T> : dropout_kernel<false, T>, blocks_for(rows * pieces, 8), 256, 0, stream, row_args,
         dropout, x, out, rows, pieces);
}

template <class T>
void add_column_sums(const T* x, int64_t rows, int64_t columns, int64_t stride, float* sums, float* workspace, Stream stream) {
  if (rows == 0 || columns == 0) return;
  const bool aligned = rows_are_aligned(x, columns) && stride % 8 == 0;
  launch(aligned ? column_sums_kernel<true, T> : column_sums_kernel<false, T>, tile_grid(rows, columns), kTileThreads, 0, stream,
         x, rows, columns, stride, workspace);
  add_partial_sums({workspace, tile_slices(rows), columns, {sums}}, 1, stream);
}

int64_t add_column_sums_workspace(int64_t rows, int64_t columns) { return tile_slices(rows) * columns; }

#define BERTH_ROWS_OF(T)                                                                                                  \
  template void add_norm_forward(const NormArgs<T>&, const T*, const T*, T*, int64_t, Stream);                            \
  template void add_norm_backward(const NormArgs<T>&, const T*, T*, T*, float*, float*, float*, int64_t, float*, Stream); \
  template void dropout_rows(const RowArgs&, const DropoutArgs&, const T*, T*, int64_t, Stream);                          \
  template void add_column_sums(const T*, int64_t, int64_t, int64_t, float*, float*, Stream);
BERTH_ROWS_OF(float)
BERTH_ROWS_OF(Bf16)
BERTH_ROWS_OF(Fp16)

}  // namespace berth::train::cuda
