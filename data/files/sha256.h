// SHA-256 (FIPS 180-4), by OpenSSL's libcrypto: vocabularies, source files and checkpoints are recognised by it. Of files:
// files.h.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace berth::data {

// Feed with update() any number of times, then ask hex() once: 64 lower-case hex digits.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  void update(std::string_view bytes);
  std::string hex();

 private:
  struct Context;
  std::unique_ptr<Context> context_;
};

std::string sha256_hex(std::string_view bytes);

}  // namespace berth::data
