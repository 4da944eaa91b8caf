#include "agora/peers/transport/frame_queue.h"

#include <algorithm>

namespace agora::peers {
namespace {

size_t bytes_of(const Message& message) {
  return kMessageBytes + message.header.text_bytes + message.payload.size();
}

}  // namespace

bool FrameQueue::push(Message message) {
  if (message.text.size() > kStatusTextBytesMax) message.text.resize(kStatusTextBytesMax);
  message.header.text_bytes = static_cast<uint16_t>(message.text.size());
  message.header.payload_bytes = static_cast<uint32_t>(message.payload.size());
  const bool short_reply = message.header.kind == FrameKind::reply && message.payload.size() == 0;
  const size_t max = bytes_max_ + (short_reply ? more_bytes_ : 0);
  if (bytes_of(message) > max - std::min(bytes_, max)) return false;
  bytes_ += bytes_of(message);
  const LaneKey key{message.header.side, message.header.call};
  const auto [at, fresh] = lanes_.try_emplace(key);
  Lane& lane = at->second;
  if (fresh) {
    lane.priority = message.header.priority;
    lane.turn = turns_of(lane).insert(turns_of(lane).end(), key);
  }
  lane.messages.push_back(std::move(message));
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
  for (const Message& message : found->second.messages) bytes_ -= bytes_of(message);
  bytes_ += found->second.sent;
  erase(found);
  return untouched;
}

void FrameQueue::erase(Lanes::iterator at) {
  turns_of(at->second).erase(at->second.turn);
  lanes_.erase(at);
}

void FrameQueue::clear() {
  control_.clear();
  for (Turns& turns : turns_) turns.clear();
  lanes_.clear();
  bytes_ = 0;
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
    bytes_ -= kMessageBytes + message.header.text_bytes;
    lane.messages.pop_front();
    lane.sent = 0;
    lane.started = false;
  }
}

bool FrameQueue::pop(int64_t now_ns, Frame* frame) {
  if (pop_control(frame)) return true;
  for (Turns& turns : turns_) {
    while (!turns.empty()) {
      const auto at = lanes_.find(turns.front());
      Lane& lane = at->second;
      const Message& first = lane.messages.front();
      if (!lane.touched && first.deadline_ns <= now_ns) {
        bytes_ -= bytes_of(first);  // a request, the only one of its lane: nobody waits for it any more
        erase(at);
        continue;
      }
      cut(at->first, lane, now_ns, frame);
      if (lane.messages.empty()) {
        erase(at);
      } else {
        turns.splice(turns.end(), turns, lane.turn);
      }
      return true;
    }
  }
  return false;
}

}  // namespace agora::peers
