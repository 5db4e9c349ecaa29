/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the module tells over generic netlink; <kckpt/netlink.h> is the contract. The only user of libmnl.
 *
 * Parsing is apart from receiving, and takes nothing for granted about the bytes.
 */
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include <nlohmann/json_fwd.hpp>

#include <kckpt/netlink.h>

#include "lib/result.hh"

struct mnl_socket;

namespace kckpt
{

struct Event {
	uint32_t what = KCKPT_EVENT_NONE; /* enum kckpt_event, or one that this tool does not know */
	uint64_t session = 0, time_ns = 0;
	uint32_t operation = KCKPT_OP_NONE;
	std::optional<uint32_t> pid, tasks, objects, state, errors;
	std::optional<uint64_t> cgroup_id, bytes, total, pages, zero_pages, duration_ns;
	std::optional<std::string> cgroup;
	std::optional<Problem> error;
};

/* Numbers that the kernel gave to the family and its group. */
struct EventFamily {
	uint16_t id;
	uint32_t group;
};

/* @message: one netlink message, aligned to 4 bytes. Nothing if it is not what it should be. */
std::optional<Event> parse_event(std::span<const std::byte> message);
std::optional<EventFamily> parse_family(std::span<const std::byte> message);
/* Does the controller say that family @id is gone? */
bool tells_end(std::span<const std::byte> message, uint16_t id);

std::string event_word(uint32_t what); /* "begun" */
std::optional<uint32_t> event_of(std::string_view word);
std::string event_text(const Event &event); /* a line, without its end */
nlohmann::ordered_json event_json(const Event &event);

class EventSocket
{
public:
	/* From then on nothing is missed. */
	static Result<EventSocket> open();

	struct Received {
		std::vector<Event> events;
		bool lost = false; /* some that came before these are missing */
		bool end = false;  /* the module was unloaded */
	};
	int fd() const;
	Result<Received> receive(); /* waits for the next */

private:
	struct Close {
		void operator()(mnl_socket *socket) const;
	};
	using Socket = std::unique_ptr<mnl_socket, Close>;
	EventSocket(Socket socket, EventFamily family) : socket_(std::move(socket)), family_(family) {}
	static Result<EventFamily> resolve(mnl_socket *socket);

	Socket socket_;
	EventFamily family_;
};

} // namespace kckpt
