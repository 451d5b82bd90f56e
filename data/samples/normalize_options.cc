#include "data/samples/normalize_options.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "data/check.h"

namespace berth::data {
namespace {

constexpr std::pair<std::string_view, bool NormalizeOptions::*> kNames[] = {
    {"html", &NormalizeOptions::html}, {"urls", &NormalizeOptions::urls}, {"whitespace", &NormalizeOptions::whitespace}};

}  // namespace

std::string NormalizeOptions::names() const {
  std::string all;
  for (const auto& [name, member] : kNames)
    if (this->*member) all.append(all.empty() ? "" : ",").append(name);
  return all;
}

NormalizeOptions NormalizeOptions::parse(const std::vector<std::string>& names) {
  NormalizeOptions options;
  for (const std::string& wanted : names) {
    const auto* known =
        std::find_if(std::begin(kNames), std::end(kNames), [&](const auto& entry) { return entry.first == wanted; });
    check_usage(known != std::end(kNames), "the normalisation '", wanted, "' is not known; use html, urls or whitespace");
    options.*(known->second) = true;
  }
  return options;
}

NormalizeOptions NormalizeOptions::parse(const std::string& names) {
  std::vector<std::string> list;
  for (size_t begin = 0; begin < names.size();) {
    const size_t end = std::min(names.find(',', begin), names.size());
    list.push_back(names.substr(begin, end - begin));
    begin = end + 1;
  }
  return parse(list);
}

}  // namespace berth::data
