#include "trainer/kernels/gpu/products.h"

#include <cublasLt.h>

#include <algorithm>
#include <array>
#include <map>
#include <mutex>
#include <utility>

#include "data/check.h"

namespace berth::train::cuda {
namespace {

constexpr int64_t kWorkspaceBytes = int64_t{32} << 20;  // what NVIDIA advises for Hopper; more than smaller GPUs' algorithms want

void check_cublas(cublasStatus_t status, const char* what) {
  check_internal(status == CUBLAS_STATUS_SUCCESS, "cuBLASLt: ", what, ": ", cublasLtGetStatusString(status));
}

cudaDataType type_of(const at::Tensor& tensor) {
  switch (tensor.scalar_type()) {
    case at::kFloat:
      return CUDA_R_32F;
    case at::kBFloat16:
      return CUDA_R_16BF;
    case at::kHalf:
      return CUDA_R_16F;
    default:
      fail(ExitCode::kInternal, "no products of ", c10::toString(tensor.scalar_type()));
  }
}

// As cuBLAS sees a tensor [r, c]: a matrix of columns, [c, r].
struct Matrix {
  explicit Matrix(const at::Tensor& tensor)
      : data(tensor.mutable_data_ptr()),
        type(type_of(tensor)),
        rows(tensor.size(1)),
        columns(tensor.size(0)),
        stride(columns > 1 ? tensor.stride(0) : rows) {
    check_internal(tensor.dim() == 2 && (rows <= 1 || tensor.stride(1) == 1) && stride >= rows,
                   "a matrix whose rows are not whole");
  }
  void* data;
  cudaDataType type;
  int64_t rows, columns, stride;
};

// d = a b + bias (+ d), where a or b may be transposed.
struct Product {
  Matrix a, b, d;
  bool transpose_a = false, transpose_b = false;
  bool sums_over_tokens = false;  // tokens are the columns of a and b; else those of b and d
  bool accumulate = false;
  const void* bias = nullptr;  // of d's type
  bool tf32 = false;
};

// From 64 tokens on in steps of 64, from 1,024 on in eighths to sixteenths of the number.
int64_t rounded_up(int64_t tokens) {
  int64_t step = 64;
  while (16 * step < tokens) step *= 2;
  return (tokens + step - 1) / step * step;
}

using Key = std::array<int64_t, 16>;

// What cuBLASLt wants to know of one, made for each call: that costs no allocation.
class Description {
 public:
  Description(const Product& p, int64_t tokens) {
    const int64_t sum = p.sums_over_tokens ? tokens : 0, column = p.sums_over_tokens ? 0 : tokens;
    const auto layout = [](cublasLtMatrixLayoutOpaque_t& to, const Matrix& m, int64_t columns) {
      check_cublas(cublasLtMatrixLayoutInit(&to, m.type, m.rows, columns > 0 ? columns : m.columns, m.stride), "a layout");
    };
    layout(a, p.a, sum);
    layout(b, p.b, tokens);
    layout(d, p.d, column);
    check_cublas(cublasLtMatmulDescInit(&product, p.tf32 ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F, CUDA_R_32F),
                 "a product");
    set(CUBLASLT_MATMUL_DESC_TRANSA, p.transpose_a ? CUBLAS_OP_T : CUBLAS_OP_N);
    set(CUBLASLT_MATMUL_DESC_TRANSB, p.transpose_b ? CUBLAS_OP_T : CUBLAS_OP_N);
    if (!p.bias) return;
    set(CUBLASLT_MATMUL_DESC_EPILOGUE, CUBLASLT_EPILOGUE_BIAS);
    set(CUBLASLT_MATMUL_DESC_BIAS_POINTER, p.bias);
  }

  cublasLtMatmulDescOpaque_t product;
  cublasLtMatrixLayoutOpaque_t a, b, d;

 private:
  template <class T>
  void set(cublasLtMatmulDescAttributes_t attribute, const T& value) {
    check_cublas(cublasLtMatmulDescSetAttribute(&product, attribute, &value, sizeof value), "an attribute");
  }
};

// All of an address that algorithms care about.
uint32_t alignment(const void* data) {
  const auto address = reinterpret_cast<uintptr_t>(data);
  return address % 16 == 0 ? 16 : static_cast<uint32_t>(address & -address);
}

cublasLtMatmulAlgo_t choose(cublasLtHandle_t handle, const Product& p, Description& of) {
  cublasLtMatmulPreferenceOpaque_t wish;
  check_cublas(cublasLtMatmulPreferenceInit(&wish), "a preference");
  const auto set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
    check_cublas(cublasLtMatmulPreferenceSetAttribute(&wish, attribute, &value, sizeof value), "a preference");
  };
  set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, static_cast<uint64_t>(kWorkspaceBytes));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, alignment(p.a.data));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, alignment(p.b.data));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, alignment(p.d.data));
  set(CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, alignment(p.d.data));
  cublasLtMatmulHeuristicResult_t result;
  int found = 0;
  const cublasStatus_t status =
      cublasLtMatmulAlgoGetHeuristic(handle, &of.product, &of.a, &of.b, &of.d, &of.d, &wish, 1, &result, &found);
  check_usage(found == 1 || p.a.type != CUDA_R_16BF,
              "this GPU does not multiply in bf16: --fp16 is as fast, or neither of the two");
  check_internal(status == CUBLAS_STATUS_SUCCESS && found == 1, "cuBLASLt has no algorithm for a product of [", p.d.rows, ", ",
                 p.d.columns, "]: ", cublasLtGetStatusString(status));
  return result.algo;
}

bool takes_tf32(const at::Tensor& x) { return x.scalar_type() == at::kFloat && at::globalContext().allowTF32CuBLAS(); }

}  // namespace

class CublasLtKernels::Products {
 public:
  void run(const Product& product, at::Device device, Stream stream);

 private:
  struct Place {  // a stream
    cublasLtHandle_t handle = nullptr;
    at::Tensor workspace;
    std::map<Key, cublasLtMatmulAlgo_t> algorithms;
  };
  std::mutex mutex_;
  std::map<std::pair<at::Device, Stream>, Place, decltype([](const auto& x, const auto& y) {
             return std::pair(x.first.index(), x.second) < std::pair(y.first.index(), y.second);
           })>
      places_;
};

void CublasLtKernels::Products::run(const Product& p, at::Device device, Stream stream) {
  const std::lock_guard lock(mutex_);
  Place& place = places_[{device, stream}];
  // Each when it is missing: the memory may not have sufficed when this was tried before.
  if (!place.workspace.defined()) place.workspace = at::empty({kWorkspaceBytes}, at::TensorOptions(device).dtype(at::kByte));
  if (!place.handle) check_cublas(cublasLtCreate(&place.handle), "a handle");
  const int64_t tokens = p.b.columns, like = rounded_up(tokens);
  const Key key = {p.a.rows,
                   p.sums_over_tokens ? like : p.a.columns,
                   p.a.stride,
                   p.b.rows,
                   like,
                   p.b.stride,
                   p.d.stride,
                   p.a.type,
                   p.d.type,
                   p.transpose_a,
                   p.transpose_b,
                   p.accumulate,
                   p.bias ? alignment(p.bias) : 0,
                   p.tf32,
                   alignment(p.a.data) * 32 + alignment(p.b.data),
                   alignment(p.d.data)};
  auto entry = place.algorithms.find(key);
  if (entry == place.algorithms.end()) {
    Description description(p, like);
    entry = place.algorithms.emplace(key, choose(place.handle, p, description)).first;
  }
  const float one = 1, beta = p.accumulate ? 1 : 0;
  Description description(p, tokens);
  const auto multiply = [&](const cublasLtMatmulAlgo_t& algorithm) {
    return cublasLtMatmul(place.handle, &description.product, &one, p.a.data, &description.a, p.b.data, &description.b, &beta,
                          p.d.data, &description.d, p.d.data, &description.d, &algorithm, place.workspace.mutable_data_ptr(),
                          kWorkspaceBytes, static_cast<cudaStream_t>(stream));
  };
  cublasStatus_t status = multiply(entry->second);
  if (status == CUBLAS_STATUS_NOT_SUPPORTED ||
      status == CUBLAS_STATUS_INVALID_VALUE)  // an algorithm for even numbers of tokens, say
    status = multiply(choose(place.handle, p, description));
  check_cublas(status, "a product");
}

CublasLtKernels::CublasLtKernels(Stream (*current_stream)(at::Device))
    : CudaKernels(current_stream), products_(std::make_unique<Products>()) {}
CublasLtKernels::~CublasLtKernels() = default;

at::Tensor CublasLtKernels::linear_forward(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias) const {
  at::Tensor y = at::empty({x.size(0), weight.size(0)}, x.options());
  if (y.numel() == 0) return y;
  products_->run({.a = Matrix(weight),
                  .b = Matrix(x),
                  .d = Matrix(y),
                  .transpose_a = true,
                  .bias = bias.const_data_ptr(),
                  .tf32 = takes_tf32(x)},
                 x.device(), stream(x));
  return y;
}

void CublasLtKernels::linear_backward_input(const at::Tensor& dy, const at::Tensor& weight, const at::Tensor& dx,
                                            bool accumulate) const {
  if (dx.numel() == 0) return;
  products_->run({.a = Matrix(weight), .b = Matrix(dy), .d = Matrix(dx), .accumulate = accumulate, .tf32 = takes_tf32(dy)},
                 dy.device(), stream(dy));
}

void CublasLtKernels::linear_backward_weight(const at::Tensor& dy, const at::Tensor& x, const at::Tensor& grad,
                                             bool accumulate) const {
  if (dy.size(0) == 0) {
    if (!accumulate) grad.zero_();
    return;
  }
  products_->run({.a = Matrix(x),
                  .b = Matrix(dy),
                  .d = Matrix(grad),
                  .transpose_b = true,
                  .sums_over_tokens = true,
                  .accumulate = accumulate,
                  .tf32 = takes_tf32(dy)},
                 dy.device(), stream(dy));
}

}  // namespace berth::train::cuda
