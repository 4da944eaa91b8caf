#include "agora/peers/transport/frame_queue.h"

#include <algorithm>

namespace agora::peers {

bool FrameQueue::push(Message message) {
  if (message.payload.size() > bytes_max_ - bytes_) return false;
  bytes_ += message.payload.size();
  if (message.text.size() > kStatusTextBytesMax) message.text.resize(kStatusTextBytesMax);
  message.header.text_bytes = static_cast<uint16_t>(message.text.size());
  message.header.payload_bytes = static_cast<uint32_t>(message.payload.size());
  const LaneKey key{message.header.side, message.header.call};
  const auto priority = static_cast<size_t>(message.header.priority);
  const auto [at, fresh] = lanes_.try_emplace(key);
  at->second.messages.push_back(std::move(message));
  if (fresh) turns_[priority].push_back(key);
  return true;
}

void FrameQueue::push_control(const FrameHeader& header, Payload payload) {
  FrameHeader full = header;
  full.payload_bytes = static_cast<uint32_t>(payload.size());
  control_.push_back({.header = encode_header(full), .text = {}, .payload = std::move(payload)});
}

bool FrameQueue::drop(Side side, uint64_t call) {
  const auto found = lanes_.find({side, call});
  if (found == lanes_.end()) return false;
  const bool untouched = !found->second.touched;
  for (const Message& message : found->second.messages) bytes_ -= message.payload.size();
  bytes_ += found->second.sent;
  for (auto& turns : turns_) std::erase(turns, found->first);
  lanes_.erase(found);
  return untouched;
}

bool FrameQueue::pop_control(Frame* frame) {
  if (control_.empty()) return false;
  *frame = std::move(control_.front());
  control_.pop_front();
  return true;
}

// The next frame of the lane's first message.
void FrameQueue::cut(const LaneKey& key, Lane& lane, int64_t now_ns, Frame* frame) {
  Message& message = lane.messages.front();
  FrameHeader header = message.header;
  const size_t count = std::min(kChunkBytes, message.payload.size() - lane.sent);
  if (lane.started) {
    header = {.kind = FrameKind::more, .priority = header.priority, .side = key.first, .call = key.second};
    frame->text.clear();
  } else {
    if (header.kind == FrameKind::request) {
      const int64_t left_us = (message.deadline_ns - now_ns) / 1000;
      header.number = static_cast<uint32_t>(std::clamp<int64_t>(left_us, 1, kDeadlineNsMax / 1000));
    }
    frame->text = std::move(message.text);
  }
  frame->header = encode_header(header);
  frame->payload = message.payload.slice(lane.sent, count);
  lane.sent += count;
  lane.started = lane.touched = true;
  bytes_ -= count;
  if (lane.sent == message.payload.size()) {
    lane.messages.pop_front();
    lane.sent = 0;
    lane.started = false;
  }
}

bool FrameQueue::pop(int64_t now_ns, Frame* frame) {
  if (pop_control(frame)) return true;
  for (auto& turns : turns_) {
    while (!turns.empty()) {
      const LaneKey key = turns.front();
      turns.pop_front();
      const auto at = lanes_.find(key);
      Lane& lane = at->second;
      const Message& first = lane.messages.front();
      if (!lane.touched && first.deadline_ns <= now_ns) {
        bytes_ -= first.payload.size();  // a request, the only one of its lane: nobody waits for it any more
        lanes_.erase(at);
        continue;
      }
      cut(key, lane, now_ns, frame);
      if (lane.messages.empty()) {
        lanes_.erase(at);
      } else {
        turns.push_back(key);
      }
      return true;
    }
  }
  return false;
}

}  // namespace agora::peers
