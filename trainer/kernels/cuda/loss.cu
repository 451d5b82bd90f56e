#include <cfloat>

#include "trainer/kernels/cuda/device.cuh"
#include "trainer/kernels/cuda/kernels.h"

namespace berth::train::cuda {
namespace {

// Up to eight neighbouring numbers of a row, the first at `column`; whole if all eight are in the row.
template <class T>
struct Piece {
  int64_t column;
  bool whole;
  Numbers<T, 8> numbers;
  __device__ bool has(int i, int64_t columns) const { return whole || (column + i >= 0 && column + i < columns); }
};

// Calls f(piece) for the row's pieces, one after the other to each of the block's threads. Rows may begin anywhere (a vocabulary of
// 30522 in bf16), so pieces begin where 16-byte vectors do, and only the row's first and last may be in part outside it.
template <class T, class Function>
__device__ inline void for_each_piece(const T* row, int64_t columns, const Function& f) {
  const auto before = static_cast<int64_t>(reinterpret_cast<uintptr_t>(row) % 16 / sizeof(T));
  for (int64_t c = int64_t{threadIdx.x} * 8 - before; c < columns; c += blockDim.x * 8) {
    Piece<T> piece{c, c >= 0 && c + 8 <= columns, {}};
    if (piece.whole) {
      piece.numbers = load_vector<8>(row + c);
    } else {
      for (int i = 0; i < 8; ++i)
        if (piece.has(i, columns)) piece.numbers.at[i] = row[c + i];
    }
    f(piece);
  }
}

template <class T>
__device__ inline float weight_of(const CrossEntropyArgs<T>& args, int64_t label) {
  return args.weights == nullptr ? 1.f : args.weights[label];
}

// To be called by all threads of a block.
template <int kWarps, class T>
__device__ inline float mean_weight(const CrossEntropyArgs<T>& args) {
  if (args.weights == nullptr) return 1;
  float mine = 0;
  for (int64_t c = threadIdx.x; c < args.classes; c += blockDim.x) mine += args.weights[c];
  return block_sum<kWarps>(mine) / static_cast<float>(args.classes);
}

// A block a row. The maximum and the sum of exponentials relative to it in one pass: where a thread meets a greater number, it rescales
// what it has.
template <int kWarps, class T>
__global__ void __launch_bounds__(kWarps * 32) cross_entropy_forward_kernel(CrossEntropyArgs<T> args, float* losses) {
  const int64_t row = blockIdx.x, label = args.labels[row];
  if (label == kIgnoreLabel) {
    if (threadIdx.x == 0) losses[row] = args.log_sum_exp[row] = 0;
    return;
  }
  const T* logits = args.logits + row * args.stride;
  float greatest = -FLT_MAX, exponentials = 0, total = 0;
  for_each_piece(logits, args.classes, [&](const Piece<T>& piece) {
    float here = greatest;
    BERTH_UNROLL
    for (int i = 0; i < 8; ++i)
      if (piece.has(i, args.classes)) here = fmaxf(here, to_float(piece.numbers.at[i]));
    exponentials *= expf(greatest - here);
    greatest = here;
    BERTH_UNROLL
    for (int i = 0; i < 8; ++i)
      if (piece.has(i, args.classes)) {
        const float x = to_float(piece.numbers.at[i]);
        exponentials += expf(x - here);
        total += args.smoothing > 0 ? weight_of(args, piece.column + i) * x : 0.f;
      }
  });
  const float all = block_max<kWarps>(greatest);
  const float sum = block_sum<kWarps>(exponentials * expf(greatest - all));
  const bool smooth = args.smoothing > 0;
  const float mean = smooth ? block_sum<kWarps>(total) / static_cast<float>(args.classes) : 0.f;  // of weight * logit
  const float weight = smooth ? mean_weight<kWarps>(args) : 0.f;
  if (threadIdx.x != 0) return;
  const float log_sum_exp = all + logf(sum), at_label = to_float(logits[label]);
  args.log_sum_exp[row] = log_sum_exp;
  losses[row] =
      (1 - args.smoothing) * weight_of(args, label) * (log_sum_exp - at_label) + args.smoothing * (weight * log_sum_exp - mean);
}

__global__ void __launch_bounds__(1024) sum_kernel(const float* x, int64_t count, float* sum) {
  float mine = 0;
  for (int64_t i = threadIdx.x; i < count; i += 1024) mine += x[i];
  const float total = block_sum<32>(mine);
  if (threadIdx.x == 0) *sum = total;
}

template <int kWarps, class T>
__global__ void __launch_bounds__(kWarps * 32)
    cross_entropy_backward_kernel(CrossEntropyArgs<T> args, const float* d_loss, T* d_logits) {
  const int64_t row = blockIdx.x, label = args.labels[row];
  const bool ignored = label == kIgnoreLabel;
  const T* logits = args.logits + row * args.stride;
  T* to = d_logits + row * args.stride;
  const float scale = *d_loss, log_sum_exp = args.log_sum_exp[row];
  const float smooth = args.smoothing / static_cast<float>(args.classes);
  const float sharp = ignored ? 0.f : (1 - args.smoothing) * weight_of(args, label);
  const float all = sharp + (smooth > 0 ? args.smoothing * mean_weight<kWarps>(args) : 0.f);
  const bool alike = reinterpret_cast<uintptr_t>(logits) % 16 == reinterpret_cast<uintptr_t>(to) % 16;
  for_each_piece(logits, args.classes, [&](const Piece<T>& piece) {
    Numbers<T, 8> d;
    BERTH_UNROLL
    for (int i = 0; i < 8; ++i) {
      const float p = expf(to_float(piece.numbers.at[i]) - log_sum_exp);
      const bool smoothed = smooth > 0 && piece.has(i, args.classes);
      const float target =
          (smoothed ? smooth * weight_of(args, piece.column + i) : 0.f) + (piece.column + i == label ? sharp : 0.f);
      from_float(ignored ? 0.f : scale * (all * p - target), d.at[i]);
    }
    if (piece.whole && alike) {
      store_vector(to + piece.column, d);
    } else {
      BERTH_UNROLL
      for (int i = 0; i < 8; ++i)
        if (piece.has(i, args.classes)) to[piece.column + i] = d.at[i];
    }
  });
  for (int64_t c = args.classes + threadIdx.x; c < args.stride; c += blockDim.x) from_float(0.f, to[c]);
}

constexpr int kManyWarps = 8;
constexpr int64_t kManyClasses = 1024;

}  // namespace

template <class T>
void cross_entropy_forward(const CrossEntropyArgs<T>& args, float* loss_sum, float* workspace, Stream stream) {
  const bool many = args.classes > kManyClasses;
  if (args.rows > 0)
    launch(many ? cross_entropy_forward_kernel<kManyWarps, T> : cross_entropy_forward_kernel<1, T>,
           static_cast<unsigned>(args.rows), many ? kManyWarps * 32 : 32, 0, stream, args, workspace);
  launch(sum_kernel, 1, 1024, 0, stream, workspace, args.rows, loss_sum);
}

template <class T>
void cross_entropy_backward(const CrossEntropyArgs<T>& args, const float* d_loss, T* d_logits, Stream stream) {
  const bool many = args.classes > kManyClasses;
  if (args.rows > 0)
    launch(many ? cross_entropy_backward_kernel<kManyWarps, T> : cross_entropy_backward_kernel<1, T>,
           static_cast<unsigned>(args.rows), many ? kManyWarps * 32 : 32, 0, stream, args, d_loss, d_logits);
}

#define BERTH_LOSS_OF(T)                                                                   \
  template void cross_entropy_forward(const CrossEntropyArgs<T>&, float*, float*, Stream); \
  template void cross_entropy_backward(const CrossEntropyArgs<T>&, const float*, T*, Stream);
BERTH_LOSS_OF(float)
BERTH_LOSS_OF(Bf16)
BERTH_LOSS_OF(Fp16)

}  // namespace berth::train::cuda
