// TensorBoard event files: scalars under the names that Hugging Face's TensorBoardCallback gives them (train/loss,
// eval/accuracy).
//
// A file is a sequence of TFRecords, integers little-endian:
//   uint64 length
//   uint32 masked CRC-32C of the length's 8 bytes
//   length bytes: an Event (event.proto)
//   uint32 masked CRC-32C of them
// The first event is the file version. A resume opens a new file, whose second event is a session START: from its step on,
// TensorBoard forgets what earlier files said, so no step shows twice.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "trainer/report/report.h"

namespace berth::train {

// CRC-32C (Castagnoli), rotated right by 15 bits and offset by 0xa282ead8, as TFRecord stores it.
uint32_t masked_crc32c(std::string_view bytes);

std::string frame_record(std::string_view payload);

class TensorBoard : public Sink {
 public:
  // Writes a new file in `folder` (made if it is not there); `resume_step` and failures as in MetricsFile.
  TensorBoard(const std::filesystem::path& folder, int64_t resume_step);
  ~TensorBoard() override;

  void log(const LogReport& report) override;
  void eval(const EvalReport& report) override;
  void finish(const TrainSummary& summary) override;

 private:
  struct Writer;
  std::unique_ptr<Writer> writer_;
};

// All that berth has written to event files in `folder` until now is on disk. Throws Error(kInternal).
void sync_event_files(const std::filesystem::path& folder);

}  // namespace berth::train
