#include "trainer/kernels/cuda/kernels.h"
#include "trainer/kernels/cuda/rows.cuh"

namespace berth::train::cuda {
namespace {

template <class Layout, class T>
__global__ void __launch_bounds__(kNormThreads)
    embed_forward_kernel(NormArgs<T> args, EmbeddingArgs tables, T* out, int64_t rows) {
  constexpr bool kVectors = Layout::kVectors;
  const int64_t n = args.rows.columns, row = Layout::first_row();
  if (row >= rows) return;
  const float* words = tables.words + tables.word_ids[row] * n;
  const float* positions = tables.positions + tables.position_ids[row] * n;
  const float* types = tables.types ? tables.types + tables.type_ids[row] * n : nullptr;
  const Place place = place_of(args.rows, args.dropout, row);
  float values[Layout::kChunks][8];
  BERTH_UNROLL
  for (int k = 0; k < Layout::kChunks; ++k) {
    const int64_t c = 8 * Layout::unit(k);
    const auto word = load8<kVectors>(words, c, n), position = load8<kVectors>(positions, c, n),
               type = types ? load8<kVectors>(types, c, n) : Numbers<float, 8>{};
    BERTH_UNROLL
    for (int i = 0; i < 8; ++i) values[k][i] = word.at[i] + type.at[i] + position.at[i];
  }
  normalize<Layout>(args, row, values);
  BERTH_UNROLL
  for (int k = 0; k < Layout::kChunks; ++k) {
    drop<Layout>(args.dropout, place, k, values[k]);
    store8<kVectors>(out + row * n, 8 * Layout::unit(k), n, values[k]);
  }
}

template <class Layout, class T>
__global__ void __launch_bounds__(kNormThreads, 2)
    embed_backward_kernel(NormArgs<T> args, const T* d_out, float* d_sum, int64_t rows, float* partials) {
  constexpr bool kVectors = Layout::kVectors;
  const int64_t n = args.rows.columns;
  normalize_backward<Layout, 2>(
      args, rows, partials,
      [&](const Place& place, float(&d)[Layout::kChunks][8]) {
        BERTH_UNROLL
        for (int k = 0; k < Layout::kChunks; ++k) {
          const auto given = load8<kVectors>(d_out + place.row * n, 8 * Layout::unit(k), n);
          BERTH_UNROLL
          for (int i = 0; i < 8; ++i) d[k][i] = to_float(given.at[i]);
          drop<Layout>(args.dropout, place, k, d[k]);
        }
      },
      [&](const Place& place, int k, float(&d)[8]) { store8<kVectors>(d_sum + place.row * n, 8 * Layout::unit(k), n, d); });
}

// ---- The scatter: a segmented sum. The rows, in the order of their ids, are cut into windows of kWindow, and each window sums its
// runs of one id. A run inside a window goes straight into the table. One that was cut leaves its parts in `partials`
// [windows, 2, columns]: first the part that goes on from the window before (it may fill the window), second the one that begins here
// and goes on. The second stage adds a run's parts up, first to last. So one id may have all rows and is not summed by one block alone.

constexpr int kWindow = 32, kScatterThreads = 128;

template <bool kVectors>
__device__ inline Numbers<float, 4> load4(const float* row, int64_t c, int64_t columns) {
  if constexpr (kVectors) return load_vector<4>(row + c);
  Numbers<float, 4> values{};
  for (int i = 0; i < 4; ++i)
    if (c + i < columns) values.at[i] = row[c + i];
  return values;
}
template <bool kVectors>
__device__ inline void store4(float* row, int64_t c, int64_t columns, const Numbers<float, 4>& values) {
  if constexpr (kVectors) {
    store_vector(row + c, values);
  } else {
    for (int i = 0; i < 4; ++i)
      if (c + i < columns) row[c + i] = values.at[i];
  }
}
__device__ inline void add4(Numbers<float, 4>& to, const Numbers<float, 4>& values) {
  BERTH_UNROLL
  for (int i = 0; i < 4; ++i) to.at[i] += values.at[i];
}

template <bool kVectors>
__global__ void __launch_bounds__(kScatterThreads)
    scatter_windows_kernel(const float* x, const int32_t* ids, const int32_t* order, int64_t rows, int64_t columns,
                           int32_t skipped, float* grad, float* partials) {
  __shared__ int32_t window_rows[kWindow];
  __shared__ int32_t window_ids[kWindow + 2];  // with the neighbours', -1 where there is none
  const int64_t begin = int64_t{blockIdx.x} * kWindow;
  const int count = rows - begin < kWindow ? static_cast<int>(rows - begin) : kWindow;
  for (int i = static_cast<int>(threadIdx.x); i < kWindow + 2; i += kScatterThreads) {
    const int64_t place = begin + i - 1;
    const bool there = place >= 0 && place < rows;
    const int32_t row = there ? order[place] : 0;
    window_ids[i] = there ? ids[row] : -1;
    if (i >= 1 && i <= kWindow) window_rows[i - 1] = row;
  }
  __syncthreads();
  const int64_t c = (int64_t{blockIdx.y} * kScatterThreads + threadIdx.x) * 4;
  if (c >= columns) return;
  const int32_t* run = window_ids + 1;

  Numbers<float, 4> sum{};
  int first = 0;             // of the run
  constexpr int kAhead = 8;  // rows on their way at a time
  for (int i = 0; i < count; i += kAhead) {
    Numbers<float, 4> ahead[kAhead];
    BERTH_UNROLL
    for (int j = 0; j < kAhead; ++j)
      ahead[j] = i + j < count ? load4<kVectors>(x + window_rows[i + j] * columns, c, columns) : Numbers<float, 4>{};
    BERTH_UNROLL
    for (int j = 0; j < kAhead; ++j) {
      const int at = i + j;
      const int32_t id = run[at];
      add4(sum, ahead[j]);
      if (at >= count || (at + 1 < count && run[at + 1] == id)) continue;
      const bool goes_on = at + 1 == count && run[at + 1] == id, came = first == 0 && run[-1] == id;
      if (came || goes_on) {
        store4<kVectors>(partials + (2 * int64_t{blockIdx.x} + (came ? 0 : 1)) * columns, c, columns, sum);
      } else if (id != skipped) {
        float* to = grad + id * columns;
        add4(sum, load4<kVectors>(to, c, columns));
        store4<kVectors>(to, c, columns, sum);
      }
      sum = {};
      first = at + 1;
    }
  }
}

// A block a window: the run that begins in it and goes on.
template <bool kVectors>
__global__ void __launch_bounds__(kScatterThreads)
    scatter_runs_kernel(const int32_t* ids, const int32_t* order, int64_t rows, int64_t columns, int32_t skipped, float* grad,
                        const float* partials) {
  const int64_t window = blockIdx.x, begin = window * kWindow, end = begin + kWindow;
  if (end >= rows) return;
  const int32_t id = ids[order[end - 1]];
  const bool began_before = begin > 0 && ids[order[begin]] == id && ids[order[begin - 1]] == id;
  if (ids[order[end]] != id || began_before || id == skipped) return;
  // In how many windows it goes on: equal ids lie side by side, so those whose first row has this id. Exact in fp32.
  float mine = 0;
  for (int64_t place = end + int64_t{threadIdx.x} * kWindow; place < rows; place += int64_t{kScatterThreads} * kWindow)
    mine += ids[order[place]] == id ? 1.f : 0.f;
  const auto more = static_cast<int64_t>(block_sum<kScatterThreads / 32>(mine));
  const int64_t c = (int64_t{blockIdx.y} * kScatterThreads + threadIdx.x) * 4;
  if (c >= columns) return;
  Numbers<float, 4> sum = load4<kVectors>(partials + (2 * window + 1) * columns, c, columns);
#ifdef __CUDACC__
#pragma unroll 8
#endif
  for (int64_t i = 1; i <= more; ++i) add4(sum, load4<kVectors>(partials + 2 * (window + i) * columns, c, columns));
  float* to = grad + id * columns;
  add4(sum, load4<kVectors>(to, c, columns));
  store4<kVectors>(to, c, columns, sum);
}

}  // namespace

template <class T>
void embed_forward(const NormArgs<T>& args, const EmbeddingArgs& tables, T* out, int64_t rows, Stream stream) {
  const int64_t n = args.rows.columns;
  const bool aligned = rows_are_aligned(tables.words, n) && rows_are_aligned(tables.positions, n) &&
                       rows_are_aligned(tables.types, n) && rows_are_aligned(out, n) && rows_are_aligned(args.normalized, n) &&
                       rows_are_aligned(args.gamma, n) && rows_are_aligned(args.beta, n);
  with_layout(n, aligned, [&]<class Layout>(Layout) {
    if (rows > 0)
      launch(embed_forward_kernel<Layout, T>, static_cast<unsigned>((rows + Layout::kRows - 1) / Layout::kRows), kNormThreads, 0,
             stream, args, tables, out, rows);
  });
}

template <class T>
void embed_backward(const NormArgs<T>& args, const T* d_out, float* d_sum, float* gamma_grad, float* beta_grad, int64_t rows,
                    float* workspace, Stream stream) {
  const int64_t n = args.rows.columns;
  const bool aligned = rows_are_aligned(d_out, n) && rows_are_aligned(d_sum, n) && rows_are_aligned(args.normalized, n) &&
                       rows_are_aligned(args.gamma, n) && rows_are_aligned(workspace, n);
  with_layout(n, aligned, [&]<class Layout>(Layout) {
    if (rows == 0) return;
    const int64_t blocks = norm_backward_blocks<Layout>(rows);
    launch(embed_backward_kernel<Layout, T>, static_cast<unsigned>(blocks), kNormThreads, 0, stream, args, d_out, d_sum, rows,
           workspace);
    if (gamma_grad != nullptr || beta_grad != nullptr)
      add_partial_sums({workspace, blocks, n, {gamma_grad, beta_grad}}, 2, stream);
  });
}

int64_t embed_backward_workspace(int64_t rows, int64_t columns) { return 2 * std::min(rows, kNormMostBlocks) * columns; }

void scatter_rows(const float* x, const int32_t* ids, const int32_t* order, int64_t rows, int64_t columns, int32_t skipped,
                  float* grad, float* workspace, Stream stream) {
  if (rows == 0 || columns == 0) return;
  const bool aligned = rows_are_aligned(x, columns) && rows_are_aligned(grad, columns) && rows_are_aligned(workspace, columns);
  const dim3 grid(static_cast<unsigned>((rows + kWindow - 1) / kWindow),
                  static_cast<unsigned>((columns + 4 * kScatterThreads - 1) / (4 * kScatterThreads)));
  launch(aligned ? scatter_windows_kernel<true> : scatter_windows_kernel<false>, grid, kScatterThreads, 0, stream, x, ids, order,
         rows, columns, skipped, grad, workspace);
  if (grid.x > 1)
    launch(aligned ? scatter_runs_kernel<true> : scatter_runs_kernel<false>, grid, kScatterThreads, 0, stream, ids, order, rows,
           columns, skipped, grad, workspace);
}

int64_t scatter_rows_workspace(int64_t rows, int64_t columns) { return (rows + kWindow - 1) / kWindow * 2 * columns; }

#define BERTH_EMBED_OF(T)                                                                     \
  template void embed_forward(const NormArgs<T>&, const EmbeddingArgs&, T*, int64_t, Stream); \
  template void embed_backward(const NormArgs<T>&, const T*, float*, float*, float*, int64_t, float*, Stream);
BERTH_EMBED_OF(float)
BERTH_EMBED_OF(Bf16)
BERTH_EMBED_OF(Fp16)

}  // namespace berth::train::cuda
