#include "trainer/use/gather.h"

#include <algorithm>
#include <cstring>

namespace berth::train {
namespace {

void append(std::string& bytes, const EvalRecord& record) {
  const uint64_t size = record.payload.size();
  bytes.append(reinterpret_cast<const char*>(&record.sample), sizeof(record.sample));
  bytes.append(reinterpret_cast<const char*>(&size), sizeof(size));
  bytes += record.payload;
}

}  // namespace

std::vector<EvalRecord> gather_records(const std::vector<EvalRecord>& own, comm::Communicator& comm) {
  std::string sent;
  for (const EvalRecord& one : own) append(sent, one);
  std::vector<EvalRecord> records;
  for (const std::string& bytes : comm.gather(sent, 0)) {
    for (size_t at = 0; at < bytes.size();) {
      EvalRecord record;
      uint64_t size = 0;
      std::memcpy(&record.sample, bytes.data() + at, sizeof(record.sample));
      std::memcpy(&size, bytes.data() + at + sizeof(record.sample), sizeof(size));
      at += sizeof(record.sample) + sizeof(size);
      record.payload = bytes.substr(at, size);
      at += size;
      records.push_back(std::move(record));
    }
  }
  std::sort(records.begin(), records.end(), [](const EvalRecord& a, const EvalRecord& b) { return a.sample < b.sample; });
  return records;
}

}  // namespace berth::train
