#include "data/demo/grammar.h"

#include <cctype>
#include <set>
#include <unordered_set>

#include "data/check.h"
#include "data/philox.h"

namespace berth::demo {
namespace {

constexpr int kMaxAttempts = 1000;  // for one sentence that is new and repeats none of its own words
constexpr int kMaxDepth = 50;

std::string trimmed(std::string_view text) {
  const size_t begin = text.find_first_not_of(' ');
  if (begin == std::string_view::npos) return "";
  return std::string(text.substr(begin, text.find_last_not_of(' ') - begin + 1));
}

// Splits at the bars outside parentheses.
std::vector<std::string> split_alternatives(std::string_view text) {
  std::vector<std::string> parts(1);
  int depth = 0;
  for (char c : text) {
    depth += (c == '(') - (c == ')');
    if (c == '|' && depth == 0) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  for (std::string& part : parts) part = trimmed(part);
  return parts;
}

bool is_sentence_end(char c) { return c == '.' || c == '!' || c == '?'; }

bool wants_an(std::string_view word) {
  if (word.starts_with("use") || word.starts_with("one")) return false;
  return word.starts_with("hon") || word.starts_with("hour") ||
         std::string_view("aeiou").find(word.substr(0, 1)) != std::string_view::npos;
}

// Single spaces, none before punctuation; capitals where sentences begin; "a" or "an".
std::string polished(std::string_view raw) {
  std::string text;
  for (char c : raw) {
    const bool space_before = !text.empty() && text.back() == ' ';
    if (c == ' ' && (space_before || text.empty())) continue;
    if (space_before && std::string_view(".,:;!?").find(c) != std::string_view::npos) text.pop_back();
    text += c;
  }
  text = trimmed(text);
  for (size_t i = 0; i + 2 < text.size(); ++i) {
    const bool is_a = text[i] == 'a' && text[i + 1] == ' ' && (i == 0 || text[i - 1] == ' ');
    if (is_a && wants_an(std::string_view(text).substr(i + 2))) text.insert(i + 1, 1, 'n');
  }
  for (size_t i = 0; i < text.size(); ++i) {
    if (i == 0 || (i >= 2 && text[i - 1] == ' ' && is_sentence_end(text[i - 2])))
      text[i] = static_cast<char>(std::toupper(static_cast<unsigned char>(text[i])));
  }
  return text;
}

bool repeats_a_long_word(std::string_view text) {
  std::unordered_set<std::string> seen;
  for (const std::string& word : words(text))
    if (word.size() >= 5 && !seen.insert(word).second) return true;
  return false;
}

}  // namespace

// The state of one sentence under construction: what it is about, and its own stream of random numbers.
struct Grammar::Sentence {
  std::string domain;
  bool positive;
  PhiloxKey key;
  PhiloxCounter counter;  // {draw, attempt, index low, index high}
  int depth = 0;

  size_t pick(size_t n) {
    const uint32_t bits = philox(counter, key)[0];
    ++counter[0];
    return static_cast<size_t>(uint64_t{bits} * n >> 32);
  }
};

Grammar::Grammar(std::string_view text) {
  std::vector<std::string>* rule = nullptr;
  for (size_t line_number = 1; !text.empty(); ++line_number) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.empty() || line.starts_with('#')) continue;
    if (line.starts_with("  ")) {
      check(rule, "line ", line_number, " of the grammar: an alternative before the first rule");
      for (std::string& alternative : split_alternatives(line)) rule->push_back(std::move(alternative));
    } else {
      check(line.ends_with(':'), "line ", line_number,
            " of the grammar: expected \"name:\" or an indented alternative, found: ", line);
      rule = &rules_[std::string(line.substr(0, line.size() - 1))];
      check(rule->empty(), "line ", line_number, " of the grammar: the rule ", line, " is defined twice");
    }
  }
  for (const char* name : {"domains", "sentence"}) check(rules_.contains(name), "the grammar has no rule \"", name, "\"");
}

const std::vector<std::string>* Grammar::find(const std::string& domain, const std::string& name) const {
  auto found = rules_.find(domain + '.' + name);
  if (found == rules_.end()) found = rules_.find(name);
  return found == rules_.end() ? nullptr : &found->second;
}

std::string Grammar::expand_rule(std::string name, Sentence& sentence) const {
  if (name.ends_with('=') || name.ends_with('~')) name.back() = (name.back() == '=') == sentence.positive ? '+' : '-';
  const auto* alternatives = find(sentence.domain, name);
  if (alternatives == nullptr || alternatives->empty())
    fail(ExitCode::kBadInput, "the grammar refers to {", name, "}, which neither \"", name, "\" nor \"", sentence.domain, ".",
         name, "\" defines");
  check(++sentence.depth < kMaxDepth, "the grammar's rule {", name, "} contains itself without end");
  std::string text = expand((*alternatives)[sentence.pick(alternatives->size())], sentence);
  --sentence.depth;
  return text;
}

std::string Grammar::expand(std::string_view text, Sentence& sentence) const {
  std::string out;
  while (!text.empty()) {
    const size_t open = text.find_first_of("{(");
    out += text.substr(0, open);
    if (open == std::string_view::npos) break;
    const size_t close = text.find(text[open] == '{' ? '}' : ')', open);
    check(close != std::string_view::npos, "the grammar has an alternative with an unclosed bracket: ", text);
    const std::string_view inner = text.substr(open + 1, close - open - 1);
    if (text[open] == '{') {
      out += expand_rule(std::string(inner), sentence);
    } else {
      const std::vector<std::string> choices = split_alternatives(inner);
      out += expand(choices[sentence.pick(choices.size())], sentence);
    }
    text.remove_prefix(close + 1);
  }
  return out;
}

std::vector<Review> Grammar::generate(int64_t count, uint64_t seed) const {
  const std::vector<std::string>& domains = rules_.at("domains");
  std::vector<Review> reviews;
  std::unordered_set<std::string> seen;
  for (int64_t i = 0; i < count; ++i) {
    const bool positive = i % 2 == 0;
    std::string text;
    for (uint32_t attempt = 0; text.empty(); ++attempt) {
      check(attempt < kMaxAttempts, "the grammar ran dry after ", i, " of ", count, " reviews: ask for fewer or let it say more");
      Sentence sentence{domains[static_cast<size_t>(i / 2) % domains.size()],
                        positive,
                        {static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)},
                        {0, attempt, static_cast<uint32_t>(i), static_cast<uint32_t>(i >> 32)}};
      text = polished(expand("{sentence}", sentence));
      if (repeats_a_long_word(text) || !seen.insert(text).second) text.clear();
    }
    reviews.push_back({std::move(text), positive ? "positive" : "negative"});
  }
  return reviews;
}

std::vector<std::string> Grammar::vocabulary() const {
  std::set<std::string> vocabulary;
  for (const auto& [name, alternatives] : rules_) {
    for (const std::string& alternative : alternatives) {
      std::string plain;
      bool reference = false;
      for (char c : alternative) {
        reference = c == '{' || (reference && c != '}');
        plain += reference ? ' ' : c;
      }
      for (std::string& word : words(plain)) vocabulary.insert(std::move(word));
    }
  }
  return {vocabulary.begin(), vocabulary.end()};
}

}  // namespace berth::demo
