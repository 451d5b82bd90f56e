#include "data/tokenizer/bert_tokenizer.h"

#include <algorithm>
#include <tuple>

#include "data/check.h"

namespace berth::data {
namespace {

constexpr size_t kMaxTextBytes = size_t{1} << 30;

// How many tokens of segments with a and b tokens remain when at most `room` may, by the rules of `tokenizers`'
// truncate_encodings.
std::pair<size_t, size_t> longest_first(size_t a, size_t b, size_t room) {
  size_t shorter = std::min(a, b);
  size_t longer = shorter > room ? shorter : std::max(shorter, room - shorter);
  if (shorter + longer > room) {
    shorter = room / 2;
    longer = shorter + room % 2;
  }
  return a > b ? std::pair(longer, shorter) : std::pair(shorter, longer);
}

}  // namespace

BertTokenizer::BertTokenizer(Vocab vocab, TokenizerOptions options, std::vector<std::string> added_tokens)
    : vocab_(std::move(vocab)),
      options_(options),
      added_tokens_(std::move(added_tokens)),
      basic_(options),
      wordpiece_({vocab_.tokens().begin(), vocab_.tokens().end() - static_cast<std::ptrdiff_t>(added_tokens_.size())}) {
  for (const int32_t id : {vocab_.pad(), vocab_.unk(), vocab_.cls(), vocab_.sep(), vocab_.mask()})
    specials_.push_back({vocab_.token(id), id});
  for (const std::string& token : added_tokens_) specials_.push_back({token, vocab_.find(token)});
  std::stable_sort(specials_.begin(), specials_.end(),
                   [](const Special& x, const Special& y) { return x.text.size() > y.text.size(); });
  for (const Special& special : specials_)
    if (special_starts_.find(special.text[0]) == std::string::npos) special_starts_ += special.text[0];
}

BertTokenizer BertTokenizer::with_lower_case(bool do_lower_case) const {
  TokenizerOptions options = options_;
  options.do_lower_case = do_lower_case;
  return {vocab_, options, added_tokens_};
}

std::pair<const BertTokenizer::Special*, size_t> BertTokenizer::find_special(std::string_view text, size_t from) const {
  const auto next_start = [&](size_t i) {
    return special_starts_.size() == 1 ? text.find(special_starts_[0], i) : text.find_first_of(special_starts_, i);
  };
  for (size_t i = next_start(from); i != std::string_view::npos; i = next_start(i + 1))
    for (const Special& special : specials_)
      if (text.substr(i).starts_with(special.text)) return {&special, i};
  return {nullptr, text.size()};
}

void BertTokenizer::append_words(std::string_view text, size_t begin, size_t end, int32_t& word, bool count_words,
                                 std::vector<Token>& out) const {
  thread_local Words words;
  basic_.split(text, begin, end, words);
  for (const Words::Word& w : words.words) {
    const size_t before = out.size();
    const bool known = wordpiece_.cut({words.text.data() + w.first, w.size}, [&](Piece piece) {
      const ByteRange source = words.source(w, piece.begin, piece.end);
      out.push_back({piece.id, source.begin, source.end, word});
    });
    if (!known) {
      out.resize(before);
      const ByteRange source = words.source(w, 0, w.size);
      out.push_back({vocab_.unk(), source.begin, source.end, word});
    }
    word += count_words;
  }
}

int32_t BertTokenizer::append(std::string_view text, int32_t word, bool count_words, std::vector<Token>& out) const {
  check(text.size() < kMaxTextBytes, "a text of ", text.size(), " bytes is too long to be one sample: the limit is 1 GiB");
  for (size_t i = 0; i < text.size();) {
    const auto [special, position] = find_special(text, i);
    append_words(text, i, position, word, count_words, out);
    if (!special) break;
    i = position + special->text.size();
    out.push_back({special->id, static_cast<uint32_t>(position), static_cast<uint32_t>(i), word});
    word += count_words;
  }
  return word;
}

void BertTokenizer::tokenize(std::string_view text, std::vector<Token>& out) const { append(text, 0, true, out); }

void BertTokenizer::tokenize_words(const std::vector<std::string>& words, std::vector<Token>& out) const {
  for (size_t i = 0; i < words.size(); ++i) append(words[i], static_cast<int32_t>(i), false, out);
}

Encoding BertTokenizer::encode(std::string_view text, int max_length) const {
  check(max_length >= 2, "a maximum length of ", max_length, " leaves no room for [CLS] and [SEP]: at least 2 are needed");
  Encoding encoding;
  std::vector<Token>& tokens = encoding.tokens;
  tokens.reserve(text.size() / 4 + 3);
  tokens.push_back({vocab_.cls()});
  tokenize(text, tokens);
  const size_t room = static_cast<size_t>(max_length) - 1;
  if (tokens.size() > room) {
    encoding.cut = static_cast<int32_t>(tokens.size() - room);
    tokens.resize(room);
  }
  tokens.push_back({vocab_.sep()});
  encoding.segment_b = static_cast<int32_t>(tokens.size());
  return encoding;
}

Encoding BertTokenizer::encode_pair(std::string_view a, std::string_view b, int max_length, Truncation truncation) const {
  check(max_length >= 3, "a maximum length of ", max_length, " leaves no room for [CLS] and two [SEP]: at least 3 are needed");
  Encoding encoding;
  std::vector<Token>& tokens = encoding.tokens;
  std::vector<Token> second;
  tokens.reserve((a.size() + b.size()) / 4 + 4);
  tokens.push_back({vocab_.cls()});
  tokenize(a, tokens);
  tokenize(b, second);
  size_t count_a = tokens.size() - 1, count_b = second.size();
  const size_t room = static_cast<size_t>(max_length) - 3;
  const size_t excess = std::max(count_a + count_b, room) - room;
  encoding.cut = static_cast<int32_t>(excess);
  if (excess > 0 && truncation == Truncation::kLongestFirst) {
    std::tie(count_a, count_b) = longest_first(count_a, count_b, room);
  } else if (excess > 0) {
    const bool first = truncation == Truncation::kOnlyFirst;
    size_t& count = first ? count_a : count_b;
    check(count > excess, "a pair has ", count_a, " and ", count_b, " tokens; cutting only its ", first ? "first" : "second",
          " text cannot bring it down to ", max_length, " with [CLS] and two [SEP]: allow a greater maximum length");
    count -= excess;
  }
  tokens.resize(1 + count_a);
  tokens.push_back({vocab_.sep()});
  encoding.segment_b = static_cast<int32_t>(tokens.size());
  tokens.insert(tokens.end(), second.begin(), second.begin() + static_cast<std::ptrdiff_t>(count_b));
  tokens.push_back({vocab_.sep()});
  return encoding;
}

std::vector<Encoding> BertTokenizer::encode_windows(std::string_view a, std::string_view b, int max_length, int stride) const {
  std::vector<Token> first{{vocab_.cls()}}, second;
  tokenize(a, first);
  const size_t count_a = first.size() - 1;
  first.push_back({vocab_.sep()});
  tokenize(b, second);
  const auto room = static_cast<std::ptrdiff_t>(max_length) - 3 - static_cast<std::ptrdiff_t>(count_a);
  const auto count_b = std::ssize(second);
  check(count_b <= room || room > stride, "its first text has ", count_a, " tokens, its second ", count_b,
        ": with [CLS] and two [SEP] a window of ", max_length, " has room for ", std::max<std::ptrdiff_t>(0, room),
        " tokens of the second, which is no more than the ", stride,
        " that neighbouring windows share; allow a greater maximum length or a smaller stride");
  return cut(first, second, room, stride);
}

std::vector<Encoding> BertTokenizer::encode_windows(std::string_view text, int max_length, int stride) const {
  std::vector<Token> tokens;
  tokenize(text, tokens);
  const auto room = static_cast<std::ptrdiff_t>(max_length) - 2;
  check(std::ssize(tokens) <= room || room > stride, "its text has ", tokens.size(), " tokens: with [CLS] and [SEP] a window of ",
        max_length, " has room for ", room, ", which is no more than the ", stride,
        " that neighbouring windows share; allow a greater maximum length or a smaller stride");
  std::vector<Encoding> windows = cut({{vocab_.cls()}}, tokens, room, stride);
  for (Encoding& window : windows) window.segment_b = static_cast<int32_t>(window.tokens.size());
  return windows;
}

// `head`, up to `room` of `tokens` and [SEP], again and again; segment B begins behind `head`.
std::vector<Encoding> BertTokenizer::cut(const std::vector<Token>& head, const std::vector<Token>& tokens, std::ptrdiff_t room,
                                         int stride) const {
  std::vector<Encoding> windows;
  for (std::ptrdiff_t begin = 0, end = 0; windows.empty() || end < std::ssize(tokens); begin += room - stride) {
    end = std::min(begin + room, std::ssize(tokens));
    Encoding& window = windows.emplace_back();
    window.segment_b = static_cast<int32_t>(head.size());
    window.cut = static_cast<int32_t>(std::ssize(tokens) - (end - begin));
    window.tokens.reserve(head.size() + static_cast<size_t>(end - begin) + 1);
    window.tokens = head;
    window.tokens.insert(window.tokens.end(), tokens.begin() + begin, tokens.begin() + end);
    window.tokens.push_back({vocab_.sep()});
  }
  return windows;
}

std::string BertTokenizer::decode(std::span<const int32_t> ids, bool skip_special) const {
  std::string text;
  bool first = true;
  for (const int32_t id : ids) {
    const std::string& token = vocab_.token(id);
    const auto is_it = [&](const Special& special) { return special.id == id; };
    if (skip_special && std::any_of(specials_.begin(), specials_.end(), is_it)) continue;
    if (!first && token.starts_with("##"))
      text += token.substr(2);
    else if (first || token == "." || token == "?" || token == "!" || token == ",")
      text += token;
    else
      text += " " + token;
    first = false;
  }
  return text;
}

}  // namespace berth::data
