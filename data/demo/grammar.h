// A small grammar that writes labelled reviews. grammar.txt explains its notation and is the only grammar there is.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "data/demo/reviews.h"

namespace berth::demo {

class Grammar {
 public:
  // Parses the grammar's text. Throws Error(kBadInput) with the line number on what is not a rule or an alternative,
  // and on a reference to a rule that no domain and no polarity defines.
  explicit Grammar(std::string_view text);

  // `count` different reviews, positive and negative by turns and the domains by turns: a pure function of the arguments.
  // Throws Error(kBadInput) when the grammar does not yield so many.
  std::vector<Review> generate(int64_t count, uint64_t seed) const;

  // All words that its alternatives contain, sorted, without repeats.
  std::vector<std::string> vocabulary() const;

 private:
  struct Sentence;

  const std::vector<std::string>* find(const std::string& domain, const std::string& name) const;
  std::string expand(std::string_view text, Sentence& sentence) const;
  std::string expand_rule(std::string name, Sentence& sentence) const;

  std::map<std::string, std::vector<std::string>> rules_;
};

}  // namespace berth::demo
