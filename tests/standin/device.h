// The devices that this process sees: STANDIN_GPUS of them (default 1).
#pragma once

namespace berth::standin {

int device_count();
int current_device();  // of this thread
void set_current_device(int device);
// A device is used: what the driver calls a primary context.
void use_device(int device);
bool has_context(int device);

}  // namespace berth::standin
