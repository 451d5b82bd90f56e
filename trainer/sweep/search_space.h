// Which options a sweep tries: `--search NAME=VALUES`, every combination of them (a grid), or combinations drawn at random.
//
//   learning-rate=1e-5,2e-5,5e-5       these values; where a value has commas itself they are separated by | instead
//   learning-rate=loguniform(1e-5,1e-4)  drawn: the logarithm is uniform
//   head-dropout=uniform(0,0.3)          drawn
//   max-steps=randint(100,500)           drawn: an integer, both ends included
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace berth::train {

struct SearchParameter {
  enum class Kind { kChoice, kUniform, kLogUniform, kRandint };
  std::string option;  // without "--", with dashes
  Kind kind = Kind::kChoice;
  std::vector<std::string> choices = {};  // kChoice; two that are equal never
  double low = 0, high = 0;               // the others
};

// Throws Error(kUsage).
SearchParameter parse_search(const std::string& spec);
std::vector<SearchParameter> parse_searches(const std::vector<std::string>& specs);  // each option once

// Options and their values, in the order of the parameters. Values are texts: what is tried is what is printed.
using Configuration = std::vector<std::pair<std::string, std::string>>;
std::string to_string(const Configuration& configuration);  // "learning-rate 2e-05, seed 1"; "as given" if there is nothing

// All combinations, the last parameter's values changing fastest; of no parameters the empty one. Error(kUsage) for a range, or more
// than kMostConfigurations.
std::vector<Configuration> grid(const std::vector<SearchParameter>& parameters);

// `count` different combinations: the first of an endless sequence, a pure function of the seed, so that a larger count only adds some.
// Numbers have four significant digits. Fewer if there are no more.
std::vector<Configuration> draw(const std::vector<SearchParameter>& parameters, int64_t count, uint64_t seed);

inline constexpr int64_t kMostConfigurations = 100'000;

}  // namespace berth::train
