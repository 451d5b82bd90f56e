#include "tests/standin/stream.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <set>
#include <thread>

#include "tests/standin/device.h"
#include "tests/standin/report.h"

namespace berth::standin {
namespace {

std::mutex streams_mutex;
auto& streams = *new std::vector<Stream*>;

uint64_t digest_of(const void* data, size_t bytes) {  // FNV-1a
  uint64_t digest = 0xcbf29ce484222325;
  const auto* p = static_cast<const unsigned char*>(data);
  for (size_t i = 0; i < bytes; ++i) digest = (digest ^ p[i]) * 0x100000001b3;
  return digest;
}

bool overlap(const void* a, size_t a_bytes, const void* b, size_t b_bytes) {
  const auto x = reinterpret_cast<uintptr_t>(a), y = reinterpret_cast<uintptr_t>(b);
  return x < y + b_bytes && y < x + a_bytes;
}

}  // namespace

Stream& Stream::make(int device) {
  const std::lock_guard lock(streams_mutex);
  return *streams.emplace_back(new Stream(static_cast<int>(streams.size()), device));
}

std::vector<Stream*> Stream::all() {
  const std::lock_guard lock(streams_mutex);
  return streams;
}

Stream& Stream::of(cudaStream_t handle) {
  if (handle == cudaStreamLegacy || handle == cudaStreamPerThread) fault("a special stream handle, which the stand-in lacks");
  if (handle) return *reinterpret_cast<Stream*>(handle);
  static std::mutex mutex;
  static auto& defaults = *new std::map<int, Stream*>;
  use_device(current_device());
  const std::lock_guard lock(mutex);
  Stream*& stream = defaults[current_device()];
  if (!stream) stream = &make(current_device());
  return *stream;
}

void Stream::push(std::function<void()> body) {
  const std::lock_guard lock(mutex_);
  queue_.push_back(std::move(body));
  if (!started_) std::thread([this] { run(); }).detach();
  started_ = true;
  wake_.notify_one();
}

void Stream::run() {
  set_current_device(device_);
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [this] { return !queue_.empty(); });
    const auto body = std::move(queue_.front());
    queue_.pop_front();
    busy_ = true;
    lock.unlock();
    body();
    lock.lock();
    busy_ = false;
    if (queue_.empty()) through_.notify_all();
  }
}

void Stream::drain() {
  std::unique_lock lock(mutex_);
  through_.wait(lock, [this] { return queue_.empty() && !busy_; });
}

void Event::record(Stream& stream) {
  if (stream.device() != device_) fault("an event of device ", device_, " is recorded on a stream of device ", stream.device());
  uint64_t number;
  {
    const std::lock_guard lock(mutex_);
    Order::instance().record(stream, clock_);
    stream_ = &stream;
    number = ++recorded_;
  }
  stream.push([this, number] {
    const std::lock_guard lock(mutex_);
    done_ = std::max(done_, number);
    when_ = std::chrono::steady_clock::now();
    changed_.notify_all();
  });
}

void Event::block(Stream& stream) {
  uint64_t number;
  {
    const std::lock_guard lock(mutex_);
    number = recorded_;
    Order::instance().block(stream, clock_);
  }
  stream.push([this, number] {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return done_ >= number; });
  });
}

bool Event::query() {
  const std::lock_guard lock(mutex_);
  if (done_ < recorded_) return false;
  Order::instance().host_knows(clock_);
  return true;
}

bool Event::ended() {
  const std::lock_guard lock(mutex_);
  if (done_ < recorded_) return false;
  Order::instance().settle(clock_);
  return true;
}

void Event::synchronize() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return done_ >= recorded_; });
  Order::instance().host_knows(clock_);
}

uint64_t Event::behind() {
  const std::lock_guard lock(mutex_);
  return stream_ ? Order::instance().behind(*stream_, clock_) : 0;
}

std::chrono::steady_clock::time_point Event::when() {
  const std::lock_guard lock(mutex_);
  return when_;
}

Order& Order::instance() {
  static Order& order = *new Order;
  return order;
}

const char* Order::keep(const std::string& name) {
  static auto& names = *new std::set<std::string>;
  return names.insert(name).first->c_str();
}

Operation Order::begin(Stream& stream, const std::string& name) {
  const std::lock_guard lock(mutex_);
  stream.clock.join(host_);
  stream.clock.tick(stream.number());
  return stream.operation = {stream.number(), stream.clock.of(stream.number()), keep(name)};
}

void Order::touch(Stream& stream, const Operation& operation, const Access& access) {
  if (access.bytes == 0 || !is_device(access.begin)) return;
  const auto begin = reinterpret_cast<uintptr_t>(access.begin);
  const auto block = Memory::instance().find(access.begin);
  if (!block || begin + access.bytes > block->begin + block->bytes)
    fault(operation.name, " touches ", access.bytes, " bytes of device memory at ", access.begin, ", which are not allocated");
  if (block->device != stream.device())
    fault(operation.name, " on device ", stream.device(), " touches memory of device ", block->device);
  const std::lock_guard lock(mutex_);
  const auto race = access.write ? accesses_.write(begin, begin + access.bytes, operation, stream.clock)
                                 : accesses_.read(begin, begin + access.bytes, operation, stream.clock);
  if (race)
    fault("race, ", race->kind, ": ", operation.name, " (stream ", operation.stream, ") against ", race->before.name, " (stream ",
          race->before.stream, ") at ", reinterpret_cast<void*>(race->address), ": no event and no synchronisation orders them");
}

void Order::forget(uintptr_t begin, uintptr_t end) {
  const std::lock_guard lock(mutex_);
  accesses_.forget(begin, end);
}

void Order::record(Stream& stream, Clock& event) {
  const std::lock_guard lock(mutex_);
  stream.clock.join(host_);
  event = stream.clock;
}

uint64_t Order::behind(const Stream& stream, const Clock& event) {
  const std::lock_guard lock(mutex_);
  return stream.clock.of(stream.number()) - event.of(stream.number());
}

void Order::block(Stream& stream, const Clock& event) {
  const std::lock_guard lock(mutex_);
  stream.clock.join(event);
}

void Order::host_knows(const Clock& clock) {
  const std::lock_guard lock(mutex_);
  host_.join(clock);
  settle_copies(host_);
}

void Order::settle(const Clock& clock) {
  const std::lock_guard lock(mutex_);
  settle_copies(clock);
}

// What has ended: pinned memory that was read must be as it was, what was written is there now.
void Order::settle_copies(const Clock& clock) {
  const auto ended = [&](const Operation& operation) { return clock.of(operation.stream) >= operation.tick; };
  std::erase_if(uploads_, [&](const Upload& upload) {
    if (!ended(upload.operation)) return false;
    if (digest_of(upload.from, upload.bytes) != upload.digest)
      fault("race, the host wrote pinned memory at ", upload.from, " before it knew that the ", upload.operation.name, " of ",
            upload.bytes, " bytes had read it");
    return true;
  });
  std::erase_if(downloads_, [&](const Download& download) {
    if (!ended(download.operation)) return false;
    memcpy(download.to, download.bytes.data(), download.bytes.size());
    return true;
  });
}

void Order::upload(Stream& stream, const Operation& operation, void* to, const void* from, size_t bytes) {
  const std::lock_guard lock(mutex_);
  for (const Download& download : downloads_) {
    if (!overlap(download.to, download.bytes.size(), from, bytes)) continue;
    if (stream.clock.of(download.operation.stream) < download.operation.tick)
      fault("race, ", operation.name, " reads pinned memory beside the ", download.operation.name, " that writes it");
    memcpy(download.to, download.bytes.data(), download.bytes.size());
  }
  memcpy(to, from, bytes);
  uploads_.push_back({operation, from, bytes, digest_of(from, bytes)});
}

void Order::download(Stream& stream, const Operation& operation, void* to, const void* from, size_t bytes) {
  const std::lock_guard lock(mutex_);
  std::erase_if(uploads_, [&](const Upload& upload) {
    if (!overlap(upload.from, upload.bytes, to, bytes)) return false;
    if (stream.clock.of(upload.operation.stream) < upload.operation.tick)
      fault("race, ", operation.name, " writes pinned memory beside the ", upload.operation.name, " that reads it");
    return true;
  });
  const auto* data = static_cast<const unsigned char*>(from);
  downloads_.push_back({operation, to, std::vector<unsigned char>(data, data + bytes)});
  memset(to, 0xff, bytes);
}

Launch::Launch(cudaStream_t stream, const std::string& name) : stream_(Stream::of(stream)) {
  stream_.launch.lock();
  stream_.drain();
  Order::instance().begin(stream_, name);
}

Launch::~Launch() { stream_.launch.unlock(); }

void Launch::touches(const Access& access) { Order::instance().touch(stream_, stream_.operation, access); }

void enqueue(cudaStream_t handle, const std::string& name, const std::vector<Access>& accesses, std::function<void()> body) {
  Stream& stream = Stream::of(handle);
  const std::lock_guard lock(stream.launch);
  const Operation operation = Order::instance().begin(stream, name);
  for (const Access& access : accesses) Order::instance().touch(stream, operation, access);
  stream.push(std::move(body));
}

void Stream::synchronize() {
  Clock known;
  Order::instance().record(*this, known);
  drain();
  Order::instance().host_knows(known);
}

bool Stream::query() {
  Clock known;
  Order::instance().record(*this, known);
  {
    const std::lock_guard lock(mutex_);
    if (!queue_.empty() || busy_) return false;
  }
  Order::instance().host_knows(known);
  return true;
}

bool ended(cudaEvent_t event) { return Event::of(event).ended(); }

void synchronize(cudaStream_t stream, const std::string& name) {
  Stream::of(stream).synchronize();
  Report::instance().count("synchronisations", name);
}

void count(const std::string& kind, const std::string& name, long by) { Report::instance().count(kind, name, by); }

}  // namespace berth::standin
