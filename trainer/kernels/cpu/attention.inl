// Attention of one (sample, head) pair at a time, in blocks of queries: see attention_forward and attention_backward in table.h.

namespace berth::train::cpu {
namespace {

constexpr int kRows = kLanes == 16 ? 8 : 4;  // of a register tile
constexpr int kTile = 2 * kLanes;            // its columns
constexpr int64_t kQueryBlock = kAttentionQueryBlock;
static_assert(kQueryBlock * 16 % 64 == 0, "every block of queries must begin a block of dropout");

// C[r, c] (+)= sum over i < depth of A[r * a_row + i * a_step] * B[i * ldb + c], for Rows rows and Vectors * kLanes columns.
template <int Rows, int Vectors, bool Add>
BERTH_INLINE void tile(const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t ldb, float* c, int64_t ldc,
                       int64_t depth) {
  F acc[Rows][Vectors];
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Vectors; ++v) acc[r][v] = Add ? load(c + r * ldc + v * kLanes) : F{};
  for (int64_t i = 0; i < depth; ++i) {
    F row[Vectors];
    for (int v = 0; v < Vectors; ++v) row[v] = load(b + i * ldb + v * kLanes);
    for (int r = 0; r < Rows; ++r) {
      const F x = set1(a[r * a_row + i * a_step]);
      for (int v = 0; v < Vectors; ++v) acc[r][v] += x * row[v];
    }
  }
  for (int r = 0; r < Rows; ++r)
    for (int v = 0; v < Vectors; ++v) store(c + r * ldc + v * kLanes, acc[r][v]);
}

template <int Rows, bool Add>
BERTH_INLINE void tile_row(const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t ldb, float* c, int64_t ldc,
                           int64_t columns, int64_t depth) {
  int64_t j = 0;
  for (; j + kTile <= columns; j += kTile) tile<Rows, 2, Add>(a, a_row, a_step, b + j, ldb, c + j, ldc, depth);
  for (; j < columns; j += kLanes) tile<Rows, 1, Add>(a, a_row, a_step, b + j, ldb, c + j, ldc, depth);
}

// The whole product; columns is a multiple of 16.
template <bool Add>
static __attribute__((noinline)) void product(const float* a, int64_t a_row, int64_t a_step, const float* b, int64_t ldb,
                                              float* c, int64_t ldc, int64_t rows, int64_t columns, int64_t depth) {
  int64_t r = 0;
  for (; r + kRows <= rows; r += kRows)
    tile_row<kRows, Add>(a + r * a_row, a_row, a_step, b, ldb, c + r * ldc, ldc, columns, depth);
  if (kRows > 4 && r + 4 <= rows) {
    tile_row<4, Add>(a + r * a_row, a_row, a_step, b, ldb, c + r * ldc, ldc, columns, depth);
    r += 4;
  }
  if (r + 2 <= rows) {
    tile_row<2, Add>(a + r * a_row, a_row, a_step, b, ldb, c + r * ldc, ldc, columns, depth);
    r += 2;
  }
  if (r < rows) tile_row<1, Add>(a + r * a_row, a_row, a_step, b, ldb, c + r * ldc, ldc, columns, depth);
}

// rows x size of T with a stride -> fp32 with rows of `width` >= size, the rest zero; values times `scale`.
template <class T>
BERTH_INLINE void unpack(const T* in, int64_t stride, int64_t rows, int64_t size, int64_t width, float scale, float* out) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < width; c += kLanes) store(out + r * width + c, load_upto(in + r * stride + c, size - c) * scale);
}
template <class T>
BERTH_INLINE void pack(const float* in, int64_t width, int64_t rows, int64_t size, float scale, T* out, int64_t stride) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < size; c += kLanes) store_upto(out + r * stride + c, load(in + r * width + c) * scale, size - c);
}
// [rows, width] -> [size, pitch], columns beyond rows zero.
BERTH_INLINE void transpose(const float* in, int64_t width, int64_t rows, int64_t size, int64_t pitch, float* out) {
  for (int64_t r = 0; r < rows; ++r)
    for (int64_t c = 0; c < size; ++c) out[c * pitch + r] = in[r * width + c];
  for (int64_t c = 0; c < size; ++c)
    for (int64_t r = rows; r < pitch; ++r) out[c * pitch + r] = 0;
}

// One sample and head: its sizes, and where its parts are.
struct Pair {
  int64_t sample_id, head, tokens, queries, pitch, width, first_row, first_query;
  int64_t weights;  // offset
};
template <class T>
BERTH_INLINE Pair pair_at(const AttentionArgs<T>& args, int64_t index) {
  const int64_t b = index / args.heads;
  Pair pair;
  pair.head = index % args.heads;
  pair.sample_id = args.samples[b];
  pair.first_row = args.cu_seqlens[b];
  pair.tokens = args.cu_seqlens[b + 1] - pair.first_row;
  pair.queries = args.first_query_only ? 1 : pair.tokens;
  pair.first_query = args.first_query_only ? b : pair.first_row;
  pair.pitch = round_up16(pair.tokens);
  pair.width = round_up16(args.head_size);
  pair.weights = args.weight_offsets[b] + pair.head * pair.queries * pair.pitch;
  return pair;
}

BERTH_INLINE void softmax_row(float* row, int64_t tokens) {
  const int64_t whole = tokens / kLanes * kLanes, pitch = round_up16(tokens);
  const I valid = iota() < static_cast<int32_t>(tokens - whole);
  F top = set1(row[0]);
  for (int64_t c = 0; c < whole; c += kLanes) {
    const F x = load(row + c);
    top = x > top ? x : top;
  }
  if (whole < tokens) {
    const F x = load(row + whole);
    top = (valid & (x > top)) ? x : top;
  }
  const float highest = max(top);
  F total{};
  for (int64_t c = 0; c < pitch; c += kLanes) {
    F e = c < tokens ? exp(load(row + c) - highest) : F{};
    if (c == whole) e = where(valid, e);
    total += e;
    store(row + c, e);
  }
  const float inverse = 1.f / sum(total);
  for (int64_t c = 0; c < pitch; c += kLanes) store(row + c, load(row + c) * inverse);
}

// Weights of `queries` rows from first_query on: keeps them in `kept` with dropped ones negative, and leaves in `weights` what
// multiplies the values.
template <class T>
BERTH_INLINE void drop_weights(const DropoutArgs& dropout, const Pair& pair, int64_t first_query, int64_t queries, float* weights,
                               T* kept) {
  const int64_t n = queries * pair.pitch;
  if (dropout.threshold == 0) {
    for (int64_t i = 0; i < n; i += kLanes) store(kept + i, load(weights + i));
    return;
  }
  const auto sample = static_cast<uint64_t>(pair.sample_id);
  const auto first_block = static_cast<uint32_t>(first_query * pair.pitch / 64);
  PhiloxWords random;
  for (int64_t i = 0; i < n; i += 64) {
    philox_words(dropout, static_cast<uint32_t>(sample), static_cast<uint32_t>(sample >> 32), static_cast<uint32_t>(pair.head),
                 first_block + static_cast<uint32_t>(i / 64), random);
    for (int word = 0; word < 4 && i + 16 * word < n; ++word)
      for (int part = 0; part < 16 / kLanes; ++part) {
        const int64_t at = i + 16 * word + part * kLanes;
        const I kept_mask = keep(random.words[word][part], dropout.threshold);
        const F w = load(weights + at);
        store(kept + at, (F)((I)w | (~kept_mask & INT32_MIN)));
        store(weights + at, where(kept_mask, w * dropout.scale));
      }
  }
}

template <class T>
void attention_forward(const AttentionArgs<T>& args, T* out, int64_t out_stride, int64_t begin, int64_t end, float* scratch) {
  const float scale = 1.f / __builtin_sqrtf(static_cast<float>(args.head_size));
  for (int64_t index = begin; index < end; ++index) {
    const Pair pair = pair_at(args, index);
    const int64_t size = args.head_size, width = pair.width, pitch = pair.pitch, column = pair.head * size;
    float* rows = scratch;                           // [pitch, width]: keys, then values
    float* keys = rows + pitch * width;              // [width, pitch], transposed
    float* q = keys + width * pitch;                 // [kQueryBlock, width]
    float* weights = q + kQueryBlock * width;        // [kQueryBlock, pitch]
    float* context = weights + kQueryBlock * pitch;  // [kQueryBlock, width]
    unpack(args.k + pair.first_row * args.k_stride + column, args.k_stride, pair.tokens, size, width, scale, rows);
    transpose(rows, width, pair.tokens, size, pitch, keys);
    unpack(args.v + pair.first_row * args.v_stride + column, args.v_stride, pair.tokens, size, width, 1.f, rows);
    for (int64_t first = 0; first < pair.queries; first += kQueryBlock) {
      const int64_t count = least(kQueryBlock, pair.queries - first), row = pair.first_query + first;
      unpack(args.q + row * args.q_stride + column, args.q_stride, count, size, width, 1.f, q);
      product<false>(q, width, 1, keys, pitch, weights, pitch, count, pitch, size);
      for (int64_t r = 0; r < count; ++r) softmax_row(weights + r * pitch, pair.tokens);
      drop_weights(args.dropout, pair, first, count, weights, args.weights + pair.weights + first * pitch);
      product<false>(weights, pitch, 1, rows, width, context, width, count, width, pair.tokens);
      pack(context, width, count, size, 1.f, out + row * out_stride + column, out_stride);
    }
  }
}

// From d_weights (of what multiplied the values) and the kept weights: d_weights becomes the gradient of the scores, `dropped`
// what multiplied the values.
template <class T>
BERTH_INLINE void score_gradients(const DropoutArgs& dropout, const T* kept, float* d_weights, float* dropped, int64_t pitch) {
  const float scale = dropout.scale;
  F dot{};
  for (int64_t c = 0; c < pitch; c += kLanes) {
    const F w = load(kept + c);
    const I mask = (I)w >= 0;
    const F d = where(mask, load(d_weights + c) * scale);
    dot += w * d;  // where w is negative, d is zero
    store(d_weights + c, d);
    store(dropped + c, where(mask, w * scale));
  }
  const float delta = sum(dot);
  for (int64_t c = 0; c < pitch; c += kLanes) {
    const F w = (F)((I)load(kept + c) & INT32_MAX);
    store(d_weights + c, w * (load(d_weights + c) - delta));
  }
}

template <class T>
void attention_backward(const AttentionArgs<T>& args, const T* d_out, const AttentionGradients<T>& grads, int64_t begin,
                        int64_t end, float* scratch) {
  const float scale = 1.f / __builtin_sqrtf(static_cast<float>(args.head_size));
  const int64_t size = args.head_size, stride = args.heads * size;
  for (int64_t index = begin; index < end; ++index) {
    const Pair pair = pair_at(args, index);
    const int64_t width = pair.width, pitch = pair.pitch, column = pair.head * size, token_area = pitch * width;
    float* keys = scratch;                             // [pitch, width]
    float* values = keys + token_area;                 // [width, pitch], transposed
    float* d_keys = values + token_area;               // [pitch, width]; holds the values until they are transposed
    float* d_values = d_keys + token_area;             // [pitch, width]
    float* q = d_values + token_area;                  // [kQueryBlock, width]
    float* d_context = q + kQueryBlock * width;        // [kQueryBlock, width]
    float* d_query = d_context + kQueryBlock * width;  // [kQueryBlock, width]
    float* d_scores = d_query + kQueryBlock * width;   // [kQueryBlock, pitch]
    float* dropped = d_scores + kQueryBlock * pitch;   // [kQueryBlock, pitch]
    unpack(args.v + pair.first_row * args.v_stride + column, args.v_stride, pair.tokens, size, width, 1.f, d_keys);
    transpose(d_keys, width, pair.tokens, size, pitch, values);
    unpack(args.k + pair.first_row * args.k_stride + column, args.k_stride, pair.tokens, size, width, 1.f, keys);
    for (int64_t first = 0; first < pair.queries; first += kQueryBlock) {
      const int64_t count = least(kQueryBlock, pair.queries - first), row = pair.first_query + first;
      unpack(args.q + row * args.q_stride + column, args.q_stride, count, size, width, 1.f, q);
      unpack(d_out + row * stride + column, stride, count, size, width, 1.f, d_context);
      product<false>(d_context, width, 1, values, pitch, d_scores, pitch, count, pitch, size);
      const T* kept = args.weights + pair.weights + first * pitch;
      for (int64_t r = 0; r < count; ++r)
        score_gradients(args.dropout, kept + r * pitch, d_scores + r * pitch, dropped + r * pitch, pitch);
      product<false>(d_scores, pitch, 1, keys, width, d_query, width, count, width, pair.tokens);
      pack(d_query, width, count, size, scale, grads.dq + row * grads.q_stride + column, grads.q_stride);
      if (first == 0) {
        product<false>(d_scores, 1, pitch, q, width, d_keys, width, pair.tokens, width, count);
        product<false>(dropped, 1, pitch, d_context, width, d_values, width, pair.tokens, width, count);
      } else {
        product<true>(d_scores, 1, pitch, q, width, d_keys, width, pair.tokens, width, count);
        product<true>(dropped, 1, pitch, d_context, width, d_values, width, pair.tokens, width, count);
      }
    }
    pack(d_keys, width, pair.tokens, size, scale, grads.dk + pair.first_row * grads.k_stride + column, grads.k_stride);
    pack(d_values, width, pair.tokens, size, 1.f, grads.dv + pair.first_row * grads.v_stride + column, grads.v_stride);
  }
}

}  // namespace
}  // namespace berth::train::cpu
