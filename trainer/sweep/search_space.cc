#include "trainer/sweep/search_space.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdio>
#include <random>
#include <set>
#include <string_view>

#include "data/check.h"
#include "data/words.h"

namespace berth::train {
namespace {

using Kind = SearchParameter::Kind;

constexpr double kMostInteger = 1e15;

// Without the blanks around each part.
std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts{""};
  for (const char c : text) {
    if (c == separator)
      parts.emplace_back();
    else if (c != ' ' || !parts.back().empty())
      parts.back() += c;
  }
  for (std::string& part : parts) part.erase(part.find_last_not_of(' ') + 1);
  return parts;
}

double parse_number(const std::string& spec, std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  check_usage(error == std::errc() && end == text.data() + text.size() && std::isfinite(value), "--search ", spec, ": '", text,
              "' is not a number");
  return value;
}

// "uniform(a,b)"; false if `values` is no call of `name`.
bool parse_range(const std::string& spec, const std::string& values, std::string_view name, SearchParameter& parameter) {
  if (!values.starts_with(concat(name, "(")) || !values.ends_with(")")) return false;
  const std::vector<std::string> ends = split(values.substr(name.size() + 1, values.size() - name.size() - 2), ',');
  check_usage(ends.size() == 2, "--search ", spec, ": expected ", name, "(low,high)");
  parameter.low = parse_number(spec, ends[0]);
  parameter.high = parse_number(spec, ends[1]);
  check_usage(parameter.low < parameter.high, "--search ", spec, ": the range is empty");
  return true;
}

bool parse_ranges(const std::string& spec, const std::string& values, SearchParameter& parameter) {
  if (parse_range(spec, values, "uniform", parameter)) {
    parameter.kind = Kind::kUniform;
  } else if (parse_range(spec, values, "loguniform", parameter)) {
    parameter.kind = Kind::kLogUniform;
    check_usage(parameter.low > 0, "--search ", spec, ": the logarithm needs positive numbers");
  } else if (parse_range(spec, values, "randint", parameter)) {
    parameter.kind = Kind::kRandint;
    for (const double end : {parameter.low, parameter.high})
      check_usage(end == std::floor(end) && std::abs(end) <= kMostInteger, "--search ", spec, ": expected integers");
  } else {
    return false;
  }
  return true;
}

std::string drawn(const SearchParameter& parameter, uint64_t bits) {
  const double u = static_cast<double>(bits >> 11) * 0x1.0p-53;  // in [0, 1)
  if (parameter.kind == Kind::kChoice) {
    const auto count = parameter.choices.size();
    return parameter.choices[std::min(count - 1, static_cast<size_t>(u * static_cast<double>(count)))];
  }
  const double low = parameter.low, high = parameter.high;
  if (parameter.kind == Kind::kRandint) return concat(static_cast<int64_t>(low + std::floor(u * (high - low + 1))));
  const double value = parameter.kind == Kind::kUniform ? low + u * (high - low) : low * std::exp(u * std::log(high / low));
  char text[32];
  std::snprintf(text, sizeof text, "%.4g", value);
  return text;
}

// How many different combinations there are; more than `most` counts as most + 1.
int64_t combinations(const std::vector<SearchParameter>& parameters, int64_t most) {
  int64_t count = 1;
  for (const SearchParameter& parameter : parameters) {
    if (parameter.kind != Kind::kChoice) return most + 1;
    const auto choices = static_cast<int64_t>(parameter.choices.size());
    if (count > most / choices) return most + 1;
    count *= choices;
  }
  return count;
}

}  // namespace

SearchParameter parse_search(const std::string& spec) {
  const size_t equals = spec.find('=');
  check_usage(equals != std::string::npos && equals > 0, "--search ", spec, ": expected option=value,value,…");
  SearchParameter parameter;
  parameter.option = spec.substr(spec.find_first_not_of('-') < equals ? spec.find_first_not_of('-') : 0);
  parameter.option.resize(parameter.option.find('='));
  std::replace(parameter.option.begin(), parameter.option.end(), '_', '-');
  const std::string values = spec.substr(equals + 1);
  if (parse_ranges(spec, values, parameter)) return parameter;
  const std::string word = values.substr(0, values.find('('));
  check_usage(word.empty() || word.size() == values.size() ||
                  !std::all_of(word.begin(), word.end(), [](char c) { return c >= 'a' && c <= 'z'; }),
              "--search ", spec, ": '", word, "(…' is no range; known are uniform(a,b), loguniform(a,b), randint(a,b)");
  parameter.choices = split(values, values.find('|') == std::string::npos ? ',' : '|');
  const std::set<std::string> different(parameter.choices.begin(), parameter.choices.end());
  check_usage(!different.contains(""), "--search ", spec, ": a value is missing");
  check_usage(different.size() == parameter.choices.size(), "--search ", spec, ": a value stands there twice");
  return parameter;
}

std::vector<SearchParameter> parse_searches(const std::vector<std::string>& specs) {
  std::vector<SearchParameter> parameters;
  std::set<std::string> options;
  for (const std::string& spec : specs) {
    parameters.push_back(parse_search(spec));
    check_usage(options.insert(parameters.back().option).second, "--search ", spec, ": this option is searched already");
  }
  return parameters;
}

std::string to_string(const Configuration& configuration) {
  if (configuration.empty()) return "as given";
  return joined(configuration, ", ", [](const auto& setting) { return setting.first + " " + setting.second; });
}

std::vector<Configuration> grid(const std::vector<SearchParameter>& parameters) {
  for (const SearchParameter& parameter : parameters)
    check_usage(parameter.kind == Kind::kChoice, "--search ", parameter.option,
                " is a range: say how many combinations to draw with --num-configurations");
  check_usage(combinations(parameters, kMostConfigurations) <= kMostConfigurations, "--search: the grid has more than ",
              kMostConfigurations, " combinations; draw some of them with --num-configurations");
  std::vector<Configuration> all{{}};
  for (const SearchParameter& parameter : parameters) {
    std::vector<Configuration> longer;
    for (const Configuration& configuration : all)
      for (const std::string& choice : parameter.choices) {
        longer.push_back(configuration);
        longer.back().emplace_back(parameter.option, choice);
      }
    all = std::move(longer);
  }
  return all;
}

std::vector<Configuration> draw(const std::vector<SearchParameter>& parameters, int64_t count, uint64_t seed) {
  check_usage(!parameters.empty(), "--num-configurations draws values: say of what with --search");
  const int64_t wanted = std::min(count, combinations(parameters, count));
  std::vector<Configuration> all;
  std::set<Configuration> known;
  std::mt19937_64 bits(seed);  // the standard says which numbers it gives
  // A range may be narrower than its numbers' digits: no end is waited for.
  for (int64_t i = 0; static_cast<int64_t>(all.size()) < wanted && i < 1000 * wanted; ++i) {
    Configuration configuration;
    for (const SearchParameter& parameter : parameters) configuration.emplace_back(parameter.option, drawn(parameter, bits()));
    if (known.insert(configuration).second) all.push_back(std::move(configuration));
  }
  return all;
}

}  // namespace berth::train
