#include "trainer/kernels/activation.h"
#include "trainer/kernels/cuda/kernels.h"
#include "trainer/kernels/cuda/rows.cuh"

namespace berth::train::cuda {
namespace {

struct Gelu {  // x Phi(x), Phi by Abramowitz & Stegun 7.1.26 (absolute error of erf below 1.5e-7), as the CPU's kernel
  __device__ static float phi(float x, float gauss) {
    const float t = __fdividef(1.f, 1.f + fabsf(x) * (0.3275911f * 0.70710678f));
    float p = 1.061405429f;
    p = p * t - 1.453152027f;
    p = p * t + 1.421413741f;
    p = p * t - 0.284496736f;
    p = p * t + 0.254829592f;
    const float tail = p * t * gauss * 0.5f;
    return x < 0.f ? tail : 1.f - tail;
  }
  __device__ static float value(float x) { return x * phi(x, __expf(x * x * -0.5f)); }
  __device__ static float derivative(float x) {
    const float gauss = __expf(x * x * -0.5f);
    return phi(x, gauss) + x * gauss * 0.39894228f;
  }
};

struct GeluNew {
  static constexpr float kRoot = 0.79788456f, kCube = 0.044715f;  // sqrt(2 / pi)
  __device__ static float value(float x) { return 0.5f * x * (1.f + tanhf(x * (kRoot + kRoot * kCube * x * x))); }
  __device__ static float derivative(float x) {
    const float t = tanhf(x * (kRoot + kRoot * kCube * x * x));
    return 0.5f * (1.f + t) + 0.5f * x * (1.f - t * t) * (kRoot + 3.f * kRoot * kCube * x * x);
  }
};

struct Relu {
  __device__ static float value(float x) { return x < 0.f ? 0.f : x; }
  __device__ static float derivative(float x) { return x > 0.f ? 1.f : 0.f; }
};

struct Tanh {
  __device__ static float value(float x) { return tanhf(x); }
  __device__ static float derivative(float x) {
    const float y = tanhf(x);
    return 1.f - y * y;
  }
};

template <class Function>
void with_activation(Activation activation, const Function& f) {
  switch (activation) {
    case Activation::kGelu:
      return f(Gelu());
    case Activation::kGeluNew:
      return f(GeluNew());
    case Activation::kRelu:
      return f(Relu());
    case Activation::kTanh:
      return f(Tanh());
  }
}

template <class F, bool kVectors, class T>
__global__ void __launch_bounds__(256) activation_forward_kernel(const T* x, T* out, int64_t count) {
  const int64_t i = (int64_t{blockIdx.x} * blockDim.x + threadIdx.x) * 8;
  const auto given = load8<kVectors>(x, i, count);
  float values[8];
  BERTH_UNROLL
  for (int j = 0; j < 8; ++j) values[j] = F::value(to_float(given.at[j]));
  store8<kVectors>(out, i, count, values);
}

template <class F, bool kVectors, class T>
__global__ void __launch_bounds__(kTileThreads)
    activation_backward_kernel(const T* d_out, const T* x, T* dx, int64_t rows, int64_t columns, float* partials) {
  sum_tile(rows, columns, partials, [&](int64_t row, int64_t c, float(&values)[8]) {
    const auto d = load8<kVectors>(d_out + row * columns, c, columns), given = load8<kVectors>(x + row * columns, c, columns);
    BERTH_UNROLL
    for (int i = 0; i < 8; ++i) values[i] = to_float(d.at[i]) * F::derivative(to_float(given.at[i]));
    store8<kVectors>(dx + row * columns, c, columns, values);
  });
}

}  // namespace

template <class T>
void activation_forward(Activation activation, const T* x, T* out, int64_t count, Stream stream) {
  if (count == 0) return;
  const bool aligned = rows_are_aligned(x, count) && rows_are_aligned(out, count);
  with_activation(activation, [&]<class F>(F) {
    launch(aligned ? activation_forward_kernel<F, true, T> : activation_forward_kernel<F, false, T>,
           static_cast<unsigned>((count + 2047) / 2048), 256, 0, stream, x, out, count);
  });
}

template <class T>
void activation_backward(Activation activation, const T* d_out, const T* x, T* dx, float* bias_grad, int64_t rows,
                         int64_t columns, float* workspace, Stream stream) {
  if (rows == 0 || columns == 0) return;
  const bool aligned = rows_are_aligned(d_out, columns) && rows_are_aligned(x, columns) && rows_are_aligned(dx, columns);
  float* partials = bias_grad == nullptr ? nullptr : workspace;
  with_activation(activation, [&]<class F>(F) {
    launch(aligned ? activation_backward_kernel<F, true, T> : activation_backward_kernel<F, false, T>, tile_grid(rows, columns),
           kTileThreads, 0, stream, d_out, x, dx, rows, columns, partials);
  });
  if (bias_grad != nullptr) add_partial_sums({workspace, tile_slices(rows), columns, {bias_grad}}, 1, stream);
}

int64_t activation_backward_workspace(int64_t rows, int64_t columns) { return tile_slices(rows) * columns; }

#define BERTH_ACTIVATION_OF(T)                                                 \
  template void activation_forward(Activation, const T*, T*, int64_t, Stream); \
  template void activation_backward(Activation, const T*, const T*, T*, float*, int64_t, int64_t, float*, Stream);
BERTH_ACTIVATION_OF(float)
BERTH_ACTIVATION_OF(Bf16)
BERTH_ACTIVATION_OF(Fp16)

}  // namespace berth::train::cuda
