// pytorch_model.bin: a state dict written by torch.save, in its zip form (since torch 1.6) or the one before it.
//
//   zip      stored entries NAME/data.pkl (a pickle), NAME/data/KEY (one per storage), NAME/byteorder
//   legacy   five pickles: magic number, protocol 1001, system, the state dict, the list of storage keys; then for each key
//            its element count (8 bytes) and its elements
//
// In the pickle a tensor is _rebuild_tensor_v2(persistent id of its storage, offset, size, stride, …); several tensors may share
// a storage.
#pragma once

#include <memory>

#include "trainer/checkpoint/tensor_file.h"

namespace berth::train {

// Throws Error(kBadInput) naming file and tensor for whatever is not a plain state dict of dense tensors inside the file. Runs no
// code from the file.
TensorFile parse_pytorch_bin(const std::shared_ptr<const ByteSource>& bytes);

}  // namespace berth::train
