// Kernels that go row by row over hidden states: dropout, residual and LayerNorm, embeddings, column sums.

namespace berth::train::cpu {
namespace {

// Calls f(column, keep mask) for each vector of a row's columns. Only called if dropout is on.
template <class Function>
BERTH_INLINE void for_each_mask(const DropoutArgs& dropout, const RowArgs& rows, int64_t row, const Function& f) {
  const auto sample = static_cast<uint64_t>(rows.samples[row]);
  PhiloxWords random;
  for (int64_t base = 0; base < rows.columns; base += 64) {
    philox_words(dropout, static_cast<uint32_t>(sample), static_cast<uint32_t>(sample >> 32),
                 static_cast<uint32_t>(rows.positions[row]), static_cast<uint32_t>(base / 64), random);
    for (int word = 0; word < 4; ++word)
      for (int part = 0; part < 16 / kLanes; ++part) {
        const int64_t column = base + 16 * word + part * kLanes;
        if (column < rows.columns) f(column, keep(random.words[word][part], dropout.threshold));
      }
  }
}

// row: n values, zero up to the next whole vector. Returns mean and rstd.
BERTH_INLINE void moments(const float* row, int64_t n, float eps, float& mean, float& rstd) {
  F total{};
  for (int64_t c = 0; c < n; c += kLanes) total += load(row + c);
  mean = sum(total) / static_cast<float>(n);
  F squares{};
  int64_t c = 0;
  for (; c + kLanes <= n; c += kLanes) {
    const F d = load(row + c) - mean;
    squares += d * d;
  }
  float rest = 0;
  for (; c < n; ++c) rest += (row[c] - mean) * (row[c] - mean);
  rstd = 1.f / __builtin_sqrtf((sum(squares) + rest) / static_cast<float>(n) + eps);
}

// The normalization of one row in scratch: keeps what backward needs and calls f(column, count, result) per vector.
template <class T, class Function>
BERTH_INLINE void normalize(const NormArgs<T>& args, int64_t row, const float* values, const Function& f) {
  const int64_t n = args.rows.columns;
  float mean, rstd;
  moments(values, n, args.eps, mean, rstd);
  args.rstd[row] = rstd;
  for (int64_t c = 0; c < n; c += kLanes) {
    const F x = (load(values + c) - mean) * rstd;
    store_upto(args.normalized + row * n + c, x, n - c);
    f(c, x * load_upto(args.gamma + c, n - c) + load_upto(args.beta + c, n - c));
  }
}

template <class T>
void add_norm_forward(const NormArgs<T>& args, const T* x, const T* residual, T* out, int64_t begin, int64_t end,
                      float* scratch) {
  const int64_t n = args.rows.columns;
  for (int64_t row = begin; row < end; ++row) {
    const T *xr = x + row * n, *rr = residual + row * n;
    if (args.dropout.threshold == 0)
      for (int64_t c = 0; c < n; c += kLanes) store(scratch + c, load_upto(xr + c, n - c) + load_upto(rr + c, n - c));
    else
      for_each_mask(args.dropout, args.rows, row, [&](int64_t c, I mask) {
        store(scratch + c, where(mask, load_upto(xr + c, n - c) * args.dropout.scale) + load_upto(rr + c, n - c));
      });
    normalize(args, row, scratch, [&](int64_t c, F y) { store_upto(out + row * n + c, y, n - c); });
  }
}

// From one row's gradient of the norm's result (in `d`, zero up to the next whole vector): adds to the gradients of gamma and
// beta, and leaves in `d` the gradient of what was normalized.
template <class T>
BERTH_INLINE void normalize_backward(const NormArgs<T>& args, int64_t row, float* d, float* gamma_grad, float* beta_grad) {
  const int64_t n = args.rows.columns;
  const T* normalized = args.normalized + row * n;
  F total{}, dot{};
  for (int64_t c = 0; c < n; c += kLanes) {
    const F dy = load(d + c), x = load_upto(normalized + c, n - c), g = dy * load_upto(args.gamma + c, n - c);
    store(gamma_grad + c, load(gamma_grad + c) + dy * x);
    store(beta_grad + c, load(beta_grad + c) + dy);
    total += g;
    dot += g * x;
    store(d + c, g);
  }
  const float inverse = 1.f / static_cast<float>(n), mean = sum(total) * inverse, projection = sum(dot) * inverse,
              rstd = args.rstd[row];
  for (int64_t c = 0; c < n; c += kLanes)
    store(d + c, (load(d + c) - mean - load_upto(normalized + c, n - c) * projection) * rstd);
}

template <class T>
void add_norm_backward(const NormArgs<T>& args, const T* d_out, T* dx, T* d_residual, float* gamma_grad, float* beta_grad,
                       int64_t begin, int64_t end, float* scratch) {
  const int64_t n = args.rows.columns;
  for (int64_t row = begin; row < end; ++row) {
    for (int64_t c = 0; c < n; c += kLanes) store(scratch + c, load_upto(d_out + row * n + c, n - c));
    normalize_backward(args, row, scratch, gamma_grad, beta_grad);
    for (int64_t c = 0; c < n; c += kLanes) store_upto(d_residual + row * n + c, load(scratch + c), n - c);
    if (args.dropout.threshold == 0) continue;  // then dx is d_residual
    for_each_mask(args.dropout, args.rows, row, [&](int64_t c, I mask) {
      store_upto(dx + row * n + c, where(mask, load(scratch + c) * args.dropout.scale), n - c);
    });
  }
}

template <class T>
void embed_forward(const NormArgs<T>& args, const EmbeddingArgs& tables, T* out, int64_t begin, int64_t end, float* scratch) {
  const int64_t n = args.rows.columns;
  for (int64_t row = begin; row < end; ++row) {
    const float* word = tables.words + tables.word_ids[row] * n;
    const float* position = tables.positions + tables.position_ids[row] * n;
    const float* type = tables.types ? tables.types + tables.type_ids[row] * n : nullptr;
    for (int64_t c = 0; c < n; c += kLanes) {
      F sum = load_upto(word + c, n - c);
      if (type) sum = sum + load_upto(type + c, n - c);
      store(scratch + c, sum + load_upto(position + c, n - c));
    }
    if (args.dropout.threshold == 0) {
      normalize(args, row, scratch, [&](int64_t c, F y) { store_upto(out + row * n + c, y, n - c); });
      continue;
    }
    normalize(args, row, scratch, [&](int64_t c, F y) { store(scratch + c, y); });
    for_each_mask(args.dropout, args.rows, row, [&](int64_t c, I mask) {
      store_upto(out + row * n + c, where(mask, load(scratch + c) * args.dropout.scale), n - c);
    });
  }
}

template <class T>
void embed_backward(const NormArgs<T>& args, const T* d_out, float* d_sum, float* gamma_grad, float* beta_grad, int64_t begin,
                    int64_t end, float* scratch) {
  const int64_t n = args.rows.columns;
  for (int64_t row = begin; row < end; ++row) {
    const T* d = d_out + row * n;
    if (args.dropout.threshold == 0)
      for (int64_t c = 0; c < n; c += kLanes) store(scratch + c, load_upto(d + c, n - c));
    else
      for_each_mask(args.dropout, args.rows, row,
                    [&](int64_t c, I mask) { store(scratch + c, where(mask, load_upto(d + c, n - c) * args.dropout.scale)); });
    normalize_backward(args, row, scratch, gamma_grad, beta_grad);
    for (int64_t c = 0; c < n; c += kLanes) store_upto(d_sum + row * n + c, load(scratch + c), n - c);
  }
}

template <class T>
void dropout_rows(const RowArgs& rows, const DropoutArgs& dropout, const T* x, T* out, int64_t begin, int64_t end) {
  const int64_t n = rows.columns;
  for (int64_t row = begin; row < end; ++row)
    for_each_mask(dropout, rows, row, [&](int64_t c, I mask) {
      store_upto(out + row * n + c, where(mask, load_upto(x + row * n + c, n - c) * dropout.scale), n - c);
    });
}

template <class T>
void add_column_sums(const T* x, int64_t rows, int64_t stride, float* sums, int64_t begin, int64_t end) {
  constexpr int kVectors = 4;
  int64_t c = begin;
  for (; c + kVectors * kLanes <= end; c += kVectors * kLanes) {
    F total[kVectors];
    for (int v = 0; v < kVectors; ++v) total[v] = load(sums + c + v * kLanes);
    for (int64_t r = 0; r < rows; ++r)
      for (int v = 0; v < kVectors; ++v) total[v] += load(x + r * stride + c + v * kLanes);
    for (int v = 0; v < kVectors; ++v) store(sums + c + v * kLanes, total[v]);
  }
  for (; c < end; c += kLanes) {
    F total = load_upto(sums + c, end - c);
    for (int64_t r = 0; r < rows; ++r) total += load_upto(x + r * stride + c, end - c);
    store_upto(sums + c, total, end - c);
  }
}

void scatter_rows(const float* x, const int32_t* ids, int64_t rows, int64_t columns, int32_t skipped, float* grad, int64_t begin,
                  int64_t end) {
  for (int64_t r = 0; r < rows; ++r) {
    if (ids[r] == skipped) continue;
    float* to = grad + ids[r] * columns;
    const float* from = x + r * columns;
    for (int64_t c = begin; c < end; c += kLanes)
      store_upto(to + c, load_upto(to + c, end - c) + load_upto(from + c, end - c), end - c);
  }
}

template <class T>
void round_products(const float* sums, int64_t sums_stride, const T* bias, bool accumulate, T* y, int64_t y_stride, int64_t rows,
                    int64_t columns) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < columns; c += kLanes) {
      F total = load_upto(sums + r * sums_stride + c, columns - c);
      if (bias != nullptr) total += load_upto(bias + c, columns - c);
      if (accumulate) total += load_upto(y + r * y_stride + c, columns - c);
      store_upto(y + r * y_stride + c, total, columns - c);
    }
}

}  // namespace
}  // namespace berth::train::cpu
