// Memory for tests of kernels, compiled for the CPU (trainer/kernels/cuda/on_cpu.h) or, by nvcc, for a GPU: the same test source runs on
// both. Fresh memory is full of NaN, and so is what lies around it.
#pragma once

#include <gtest/gtest.h>

#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

#ifndef __CUDACC__
#include "trainer/kernels/cuda/on_cpu.h"
#endif

namespace berth::test {

// What the order of a GPU's threads may be in another run.
inline void shuffle_threads([[maybe_unused]] uint64_t seed) {
#ifndef __CUDACC__
  train::cuda::on_cpu::seed_order(seed);
#endif
}

template <class T>
class DeviceArray {
 public:
  explicit DeviceArray(int64_t size) : size_(static_cast<size_t>(size)) {
    std::vector<unsigned char> bytes(all_bytes(), 0xFF);
#ifdef __CUDACC__
    check(cudaMalloc(&memory_, bytes.size()));
#else
    memory_ = ::operator new(bytes.size(), std::align_val_t(256));
#endif
    copy_in(memory_, bytes.data(), bytes.size());
  }
  explicit DeviceArray(const std::vector<T>& values) : DeviceArray(static_cast<int64_t>(values.size())) {
    copy_in(data(), values.data(), values.size() * sizeof(T));
  }
  DeviceArray(const DeviceArray&) = delete;
  ~DeviceArray() {
#ifdef __CUDACC__
    cudaFree(memory_);
#else
    ::operator delete(memory_, std::align_val_t(256));
#endif
  }

  // For kernels: not to be followed by the host.
  T* data() const { return reinterpret_cast<T*>(static_cast<unsigned char*>(memory_) + kAround); }

  // What all kernels launched so far on the default stream have left; also that they have left alone what lies around.
  std::vector<T> read() const {
    std::vector<unsigned char> bytes(all_bytes());
#ifdef __CUDACC__
    check(cudaMemcpy(bytes.data(), memory_, bytes.size(), cudaMemcpyDeviceToHost));
#else
    memcpy(bytes.data(), memory_, bytes.size());
#endif
    std::vector<T> values(size_);
    if (size_ > 0) memcpy(values.data(), bytes.data() + kAround, size_ * sizeof(T));
    bool alone = true;
    for (size_t i = 0; i < kAround; ++i) alone = alone && bytes[i] == 0xFF && bytes[bytes.size() - 1 - i] == 0xFF;
    EXPECT_TRUE(alone) << "a kernel wrote outside an array";
    return values;
  }

 private:
  static constexpr size_t kAround = 256;
  size_t all_bytes() const { return size_ * sizeof(T) + 2 * kAround; }
  static void copy_in(void* to, const void* from, size_t bytes) {
    if (bytes == 0) return;
#ifdef __CUDACC__
    check(cudaMemcpy(to, from, bytes, cudaMemcpyHostToDevice));
#else
    memcpy(to, from, bytes);
#endif
  }
#ifdef __CUDACC__
  static void check(cudaError_t error) {
    if (error != cudaSuccess) throw std::runtime_error(cudaGetErrorString(error));
  }
#endif

  size_t size_;
  void* memory_ = nullptr;
};

}  // namespace berth::test
