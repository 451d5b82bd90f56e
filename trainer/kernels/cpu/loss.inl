// Cross entropy of rows of logits: no temporaries, and nothing of a row is kept but its greatest logit and what its exponentials, relative to that
// one, are divided by. (The logarithm of their sum alone would round all of a row's probabilities alike, and their sum would not be 1.)

namespace berth::train::cpu {
namespace {

constexpr float kLeast = -3.402823466e38f;

// Calls f(column, logits) for each vector of a row; `beyond` stands in the lanes behind its end.
template <class T, class Function>
BERTH_INLINE void for_each_logit(const T* row, int64_t classes, float beyond, const Function& f) {
  int64_t c = 0;
  for (; c + kLanes <= classes; c += kLanes) f(c, load(row + c));
  if (c < classes) f(c, iota() < static_cast<int32_t>(classes - c) ? load_upto(row + c, classes - c) : set1(beyond));
}

template <class T>
BERTH_INLINE float weight_of(const CrossEntropyArgs<T>& args, int64_t label) {
  return args.weights ? args.weights[label] : 1.f;
}
template <class T>
BERTH_INLINE F weights_at(const CrossEntropyArgs<T>& args, int64_t column) {
  return args.weights ? load_upto(args.weights + column, args.classes - column) : set1(1.f);
}

template <class T>
void cross_entropy_forward(const CrossEntropyArgs<T>& args, float* losses, int64_t begin, int64_t end) {
  for (int64_t row = begin; row < end; ++row) {
    const T* logits = args.logits + row * args.classes;
    const int64_t label = args.labels[row];
    losses[row] = args.greatest[row] = args.inverse_sum[row] = 0;
    if (label == args.ignored) continue;
    F greatest = set1(kLeast), exponentials{}, weighted{};
    for_each_logit(logits, args.classes, kLeast, [&](int64_t, F x) { greatest = x > greatest ? x : greatest; });
    const float top = max(greatest);
    for_each_logit(logits, args.classes, kLeast, [&](int64_t, F x) { exponentials += exp(x - top); });
    if (args.smoothing > 0) for_each_logit(logits, args.classes, 0, [&](int64_t c, F x) { weighted += weights_at(args, c) * x; });
    const float total = sum(exponentials), log_total = __builtin_logf(total),
                mean = sum(weighted) / static_cast<float>(args.classes);
    args.greatest[row] = top;
    args.inverse_sum[row] = 1.f / total;
    losses[row] = (1 - args.smoothing) * weight_of(args, label) * (log_total + (top - load_upto(logits + label, 1)[0])) +
                  (args.smoothing > 0 ? args.smoothing * (args.mean_weight * (top + log_total) - mean) : 0.f);
  }
}

template <class T>
void cross_entropy_backward(const CrossEntropyArgs<T>& args, float d_loss, T* d_logits, int64_t begin, int64_t end) {
  const float smooth = args.smoothing / static_cast<float>(args.classes);
  for (int64_t row = begin; row < end; ++row) {
    const T* logits = args.logits + row * args.classes;
    T* d = d_logits + row * args.classes;
    const int64_t label = args.labels[row], ignored = label == args.ignored;
    const float sharp = ignored ? 0.f : (1 - args.smoothing) * weight_of(args, label);
    const float scale = ignored ? 0.f : d_loss, all = sharp + args.smoothing * args.mean_weight;
    const I at_label = iota() - static_cast<int32_t>(label);
    for_each_logit(logits, args.classes, 0, [&](int64_t c, F x) {
      F target = (at_label + static_cast<int32_t>(c)) == 0 ? set1(sharp) : F{};
      if (smooth > 0) target += smooth * weights_at(args, c);
      const F gradient = scale * (all * (exp(x - args.greatest[row]) * args.inverse_sum[row]) - target);
      store_upto(d + c, ignored ? F{} : gradient, args.classes - c);
    });
  }
}

}  // namespace
}  // namespace berth::train::cpu
