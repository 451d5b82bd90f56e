// Activations with their derivatives.

namespace berth::train::cpu {
namespace {

BERTH_INLINE F absolute(F x) { return (F)((I)x & INT32_MAX); }

BERTH_INLINE F tanh(F x) {
  // 1 - 2 / (exp(2 |x|) + 1), with x's sign; the argument is limited where tanh is 1 in fp32. Near zero, x itself is nearer.
  const F a = absolute(x);
  const F limited = a > set1(10.f) ? set1(10.f) : a;  // lets NaN through
  const F t = 1.f - 2.f / (exp(limited + limited) + 1.f);
  const F small = a * (1.f - a * a * (1.f / 3.f) + a * a * a * a * (2.f / 15.f));
  const F magnitude = a < set1(0.1f) ? small : t;
  return (F)((I)magnitude | ((I)x & INT32_MIN));
}

// x Phi(x), Phi by Abramowitz & Stegun 7.1.26 (absolute error of erf below 1.5e-7).
BERTH_INLINE void gelu(F x, F& y, F& dy) {
  const F gauss = exp(x * x * -0.5f);
  const F t = 1.f / (1.f + absolute(x) * (0.3275911f * 0.70710678f));
  F p = set1(1.061405429f);
  p = p * t - 1.453152027f;
  p = p * t + 1.421413741f;
  p = p * t - 0.284496736f;
  p = p * t + 0.254829592f;
  const F tail = p * t * gauss * 0.5f;
  const F phi = x < 0.f ? tail : 1.f - tail;
  y = x * phi;
  dy = phi + x * gauss * 0.39894228f;
}

BERTH_INLINE void gelu_new(F x, F& y, F& dy) {
  constexpr float kRoot = 0.79788456f, kCube = 0.044715f;  // sqrt(2 / pi)
  const F square = x * x;
  const F t = tanh(x * (kRoot + kRoot * kCube * square));
  y = 0.5f * x * (1.f + t);
  dy = 0.5f * (1.f + t) + 0.5f * x * (1.f - t * t) * (kRoot + 3.f * kRoot * kCube * square);
}

BERTH_INLINE void relu(F x, F& y, F& dy) {
  const I positive = x > F{};
  y = x != x ? x : where(positive, x);
  dy = where(positive, set1(1.f));
}

BERTH_INLINE void tanh(F x, F& y, F& dy) {
  y = tanh(x);
  dy = 1.f - y * y;
}

template <class T, class Function>
BERTH_INLINE void apply(T* x, T* out, int64_t begin, int64_t end, const Function& f) {
  for (int64_t i = begin; i < end; i += kLanes) {
    F y, dy;
    f(load_upto(x + i, end - i), y, dy);
    store_upto(out + i, y, end - i);
    store_upto(x + i, dy, end - i);
  }
}

template <class T>
void activation_forward(int activation, T* x, T* out, int64_t begin, int64_t end) {
  switch (activation) {
    case 0:
      return apply(x, out, begin, end, [](F v, F& y, F& dy) { gelu(v, y, dy); });
    case 1:
      return apply(x, out, begin, end, [](F v, F& y, F& dy) { gelu_new(v, y, dy); });
    case 2:
      return apply(x, out, begin, end, [](F v, F& y, F& dy) { relu(v, y, dy); });
    default:
      return apply(x, out, begin, end, [](F v, F& y, F& dy) { tanh(v, y, dy); });
  }
}

template <class T>
void activation_backward(const T* d_out, const T* derivative, T* dx, int64_t begin, int64_t end) {
  for (int64_t i = begin; i < end; i += kLanes)
    store_upto(dx + i, load_upto(d_out + i, end - i) * load_upto(derivative + i, end - i), end - i);
}

}  // namespace
}  // namespace berth::train::cpu
