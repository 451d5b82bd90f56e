// tf_model.h5: what transformers 4 saved with TensorFlow. HDF5 as Keras 2 lays it out:
//
//   LAYER/MODEL/SCOPE/…/VARIABLE:0   a dataset of floats, uncompressed and in one piece; LAYER is a top layer's name, MODEL/… its variable's.
//                                    Layers that share a variable have a copy each
//
// Names and shapes become PyTorch's as convert_tf_weight_name_to_pt_weight_name (transformers 4, modeling_tf_pytorch_utils.py) has them: MODEL is
// dropped, "a___b" is b, "layer_._0" is layer.0, kernel, embeddings and gamma are weight, beta is bias, and a kernel is transposed.
#pragma once

#include <memory>

#include "trainer/checkpoint/tensor_file.h"

namespace berth::train {

// Throws Error(kBadInput) naming the file for whatever is not so, links to elsewhere among it.
TensorFile parse_keras_h5(std::shared_ptr<const ByteSource> bytes);

}  // namespace berth::train
