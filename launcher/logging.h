// Where log records go. Everything else only uses BOOST_LOG_TRIVIAL(severity).
//
// Console (standard error): rank 0 from the chosen level on, other ranks from warning on, tagged with their rank.
// File (berth.log in the output folder): rank 0's records from the chosen level on, appended. Only rank 0 writes in the output
// folder, so what other ranks warn of is on the console only: in the batch job's output. But the error that ends a job is in the file,
// whichever rank has it.
#pragma once

#include <boost/log/sinks/sink.hpp>
#include <boost/log/trivial.hpp>
#include <filesystem>
#include <memory>
#include <string>

#include "launcher/console.h"

namespace berth::launch {

// "trace", "debug", "info", "warning", "error", "fatal". Throws Error(kUsage) naming them.
boost::log::trivial::severity_level parse_log_level(const std::string& name);

// Replaces all sinks by the console. Call it once rank is known; before that Boost.Log's default prints to the console too.
void start_logging(std::shared_ptr<Console> console, const std::string& level, int rank);

// Every rank, after start_logging; only rank 0 opens the file at once. If it cannot be written, the console says so, and what is missing is
// written later (data/files/record_file.h).
void log_to_file(const std::filesystem::path& path, const std::string& level, const std::shared_ptr<Console>& console);

// The error that ends this process, as the last record, into the file alone: standard error has it from elsewhere. Nothing without a file.
void log_last_error(const std::string& what);

// One run among several of a job: while this lives, its records go to `file` (empty: nowhere, for ranks but the run's first), and the
// console has its warnings alone, each after `name`. After start_logging; one at a time.
class RunLogging {
 public:
  RunLogging(const std::string& name, const std::filesystem::path& file, const std::string& level,
             std::shared_ptr<Console> console);
  ~RunLogging();
  RunLogging(const RunLogging&) = delete;
  RunLogging& operator=(const RunLogging&) = delete;

 private:
  boost::shared_ptr<boost::log::sinks::sink> file_;
};

// Closes the file and goes back to Boost.Log's default.
void stop_logging();

// A line of the console: "12:34:56 warning: rank 3: text", with colour where `style` has it.
std::string console_line(boost::log::trivial::severity_level severity, const std::string& time, int rank, const std::string& text,
                         const TerminalStyle& style);

}  // namespace berth::launch
