#include "trainer/optim/lamb.h"

#include <cmath>

namespace berth::train {
namespace {

using kernels::LambScalars;
using kernels::LambSums;

int64_t piece_count(const Parameter& parameter) {
  return std::max(parameter.value.numel() / kChunk + 1, parameter.value.size(0));  // a kRows table has a piece a row
}

// The moments of one parameter, and the sums of squares of what this rank has of it.
template <class ForPieces>
LambSums update_moments(const Parameter& parameter, const LambScalars& s, const ForPieces& for_pieces) {
  std::vector<LambSums> of_pieces(static_cast<size_t>(piece_count(parameter)));
  for_pieces([&](const Piece& piece) {
    LambSums& sums = of_pieces[static_cast<size_t>(piece.index)];
    if (piece.has_moments) {
      sums = kernels::lamb_moments(piece.values, piece.grads, piece.first, piece.second, piece.size, s);
    } else {
      const double squares = kernels::sum_of_squares(piece.values, piece.size);
      sums = {.weights = squares, .directions = s.decay * static_cast<double>(s.decay) * squares};
    }
  });
  LambSums sums{};
  for (const LambSums& piece : of_pieces) sums.weights += piece.weights, sums.directions += piece.directions;
  return sums;
}

// Of what is cut each rank has its part.
void sum_over_ranks(ParameterStore& store, std::vector<LambSums>& sums) {
  if (!store.is_cut()) return;
  std::vector<double> cut(2 * sums.size(), 0);
  const auto is_cut = [&](size_t i) { return store.buckets()[static_cast<size_t>(store.parameters()[i].bucket)].is_cut; };
  for (size_t i = 0; i < sums.size(); ++i)
    if (is_cut(i)) cut[2 * i] = sums[i].weights, cut[2 * i + 1] = sums[i].directions;
  store.sum_over_parts(cut);
  for (size_t i = 0; i < sums.size(); ++i)
    if (is_cut(i)) sums[i] = {.weights = cut[2 * i], .directions = cut[2 * i + 1]};
}

}  // namespace

void lamb_step(ParameterStore& store, const std::vector<Moments>& moments, const std::vector<uint8_t>& ever_touched,
               std::span<const double> rates, LambScalars factors, float average) {
  const std::vector<Parameter>& parameters = store.parameters();
  std::vector<LambSums> sums(parameters.size());
  const auto with = [&](const Parameter& parameter) {
    LambScalars s = factors;
    if (!parameter.decay) s.decay = 0;
    return s;
  };
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& parameter = parameters[i];
    if (parameter.frozen) continue;
    sums[i] = update_moments(parameter, with(parameter),
                             [&](const auto& work) { for_pieces(store, moments, ever_touched, parameter, work); });
  }
  sum_over_ranks(store, sums);
  for (size_t i = 0; i < parameters.size(); ++i) {
    const Parameter& parameter = parameters[i];
    if (parameter.frozen) continue;
    const LambScalars s = with(parameter);
    const bool adapts = parameter.decay && sums[i].weights > 0 && sums[i].directions > 0;
    const double ratio = adapts ? std::sqrt(sums[i].weights) / std::sqrt(sums[i].directions) : 1;
    const auto way = static_cast<float>(rates[i] * ratio);
    for_pieces(store, moments, ever_touched, parameter, [&](const Piece& piece) {
      if (piece.has_moments)
        kernels::lamb(piece.values, piece.first, piece.second, piece.size, s, way);
      else if (s.decay != 0)
        kernels::scale(piece.values, piece.size, 1 - way * s.decay);
      follow(piece, average);
    });
  }
}

}  // namespace berth::train
