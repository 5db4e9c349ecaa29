// SPDX-License-Identifier: GPL-2.0-only
#include "lib/events.hh"

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include "lib/error_text.hh"
#include "lib/text.hh"

namespace kckpt
{

namespace
{

constexpr size_t receive_size = 32 * 1024;   /* more than any message of the kernel's */
constexpr int socket_buffer = 1024 * 1024;   /* events of some minutes */
constexpr unsigned int resolve_sequence = 1; /* what is told unasked has 0 */
constexpr size_t headers_size = MNL_NLMSG_HDRLEN + MNL_ALIGN(sizeof(struct genlmsghdr));

constexpr const char *event_words[] = {
	"none",
#define KCKPT_EVENT(name, word, meaning) word,
#include <kckpt/events.def>
#undef KCKPT_EVENT
};

constexpr const char *operation_words[] = {"none", "freeze", "dump", "check", "restore", "dry-run"};
constexpr const char *state_words[] = {"empty",  "frozen",       "captured", "saved", "loading",
				       "loaded", "instantiated", "complete", "done",  "failed"};

template <size_t N> std::string word_of(const char *const (&words)[N], uint32_t number)
{
	return number < N ? words[number] : fmt::to_string(number);
}

/* ---- parsing ---- */

/* The attributes of a message or of a nest, by number; those that do not fit, or are not known, are left out. */
template <size_t N> class Attributes
{
public:
	explicit Attributes(std::span<const std::byte> bytes)
	{
		mnl_attr_parse_payload(bytes.data(), bytes.size(), take, this);
	}

	std::optional<uint32_t> u16(size_t type) const { return number<uint16_t, uint32_t>(type); }
	std::optional<uint32_t> u32(size_t type) const { return number<uint32_t, uint32_t>(type); }
	std::optional<uint64_t> u64(size_t type) const { return number<uint64_t, uint64_t>(type); }

	std::optional<std::string> string(size_t type) const
	{
		const std::optional<std::span<const std::byte>> value = bytes(type);
		if (!value)
			return {};
		const auto *text = reinterpret_cast<const char *>(value->data());
		return std::string(text, strnlen(text, value->size()));
	}

	std::optional<std::span<const std::byte>> bytes(size_t type) const
	{
		if (!found_[type])
			return {};
		return std::span(static_cast<const std::byte *>(mnl_attr_get_payload(found_[type])),
				 mnl_attr_get_payload_len(found_[type]));
	}

private:
	static int take(const struct nlattr *attr, void *self)
	{
		if (mnl_attr_get_type(attr) < N)
			static_cast<Attributes *>(self)->found_[mnl_attr_get_type(attr)] = attr;
		return MNL_CB_OK;
	}

	/* A wrong size is as bad as none. */
	template <class As, class To> std::optional<To> number(size_t type) const
	{
		const std::optional<std::span<const std::byte>> value = bytes(type);
		As out;
		if (!value || value->size() != sizeof(out))
			return {};
		std::memcpy(&out, value->data(), sizeof(out));
		return out;
	}

	std::array<const struct nlattr *, N> found_ = {};
};

/* What follows the two headers, if the message is whole. */
std::optional<std::span<const std::byte>> payload_of(std::span<const std::byte> message)
{
	if (message.size() < headers_size)
		return {};
	const auto *head = reinterpret_cast<const struct nlmsghdr *>(message.data());
	if (head->nlmsg_len < headers_size || head->nlmsg_len > message.size())
		return {};
	return message.subspan(headers_size, head->nlmsg_len - headers_size);
}

uint8_t command_of(std::span<const std::byte> message)
{
	const auto *head = reinterpret_cast<const struct nlmsghdr *>(message.data());
	return static_cast<const struct genlmsghdr *>(mnl_nlmsg_get_payload(head))->cmd;
}

/* Of each nest in the list of groups; sets the uint32_t behind @found to the number of ours. */
int find_group(const struct nlattr *attr, void *found)
{
	const Attributes<CTRL_ATTR_MCAST_GRP_MAX + 1> group(
		{static_cast<const std::byte *>(mnl_attr_get_payload(attr)), mnl_attr_get_payload_len(attr)});
	if (group.string(CTRL_ATTR_MCAST_GRP_NAME) == KCKPT_GENL_GROUP)
		*static_cast<uint32_t *>(found) = group.u32(CTRL_ATTR_MCAST_GRP_ID).value_or(0);
	return MNL_CB_OK;
}

std::optional<Problem> problem_of(const Attributes<KCKPT_A_END> &attributes)
{
	const std::optional<uint32_t> code = attributes.u32(KCKPT_A_ERROR_CODE);
	if (!code)
		return {};
	Problem problem;
	problem.code = *code;
	problem.err = static_cast<int>(attributes.u32(KCKPT_A_ERROR_ERRNO).value_or(0));
	problem.pid = static_cast<int>(attributes.u32(KCKPT_A_ERROR_PID).value_or(0));
	problem.fd = static_cast<int>(attributes.u32(KCKPT_A_ERROR_FD).value_or(uint32_t(-1)));
	problem.family = attributes.u32(KCKPT_A_ERROR_FAMILY).value_or(KCKPT_F_NONE);
	problem.object = attributes.u64(KCKPT_A_ERROR_OBJECT).value_or(0);
	problem.comm = attributes.string(KCKPT_A_ERROR_COMM).value_or("");
	problem.detail = attributes.string(KCKPT_A_ERROR_DETAIL).value_or("");
	return problem;
}

} // namespace

std::optional<Event> parse_event(std::span<const std::byte> message)
{
	const std::optional<std::span<const std::byte>> payload = payload_of(message);
	if (!payload)
		return {};
	const Attributes<KCKPT_A_END> attributes(*payload);
	const std::optional<uint64_t> session = attributes.u64(KCKPT_A_SESSION);
	const std::optional<uint64_t> time = attributes.u64(KCKPT_A_TIME);
	if (!session || !time)
		return {};

	Event event;
	event.what = command_of(message);
	event.session = *session;
	event.time_ns = *time;
	event.operation = attributes.u32(KCKPT_A_OPERATION).value_or(KCKPT_OP_NONE);
	event.pid = attributes.u32(KCKPT_A_PID);
	event.tasks = attributes.u32(KCKPT_A_TASKS);
	event.objects = attributes.u32(KCKPT_A_OBJECTS);
	event.state = attributes.u32(KCKPT_A_STATE);
	event.errors = attributes.u32(KCKPT_A_ERRORS);
	event.cgroup = attributes.string(KCKPT_A_CGROUP);
	event.cgroup_id = attributes.u64(KCKPT_A_CGROUP_ID);
	event.bytes = attributes.u64(KCKPT_A_BYTES);
	event.total = attributes.u64(KCKPT_A_TOTAL);
	event.pages = attributes.u64(KCKPT_A_PAGES);
	event.zero_pages = attributes.u64(KCKPT_A_ZERO_PAGES);
	event.duration_ns = attributes.u64(KCKPT_A_DURATION);
	event.error = problem_of(attributes);
	return event;
}

std::optional<EventFamily> parse_family(std::span<const std::byte> message)
{
	const std::optional<std::span<const std::byte>> payload = payload_of(message);
	if (!payload)
		return {};
	const Attributes<CTRL_ATTR_MAX + 1> family(*payload);
	const std::optional<uint32_t> id = family.u16(CTRL_ATTR_FAMILY_ID);
	const std::optional<std::span<const std::byte>> groups = family.bytes(CTRL_ATTR_MCAST_GROUPS);
	if (!id || !groups)
		return {};

	EventFamily out = {static_cast<uint16_t>(*id), 0};
	mnl_attr_parse_payload(groups->data(), groups->size(), find_group, &out.group);
	if (out.group > 0)
		return out;
	return {};
}

bool tells_end(std::span<const std::byte> message, uint16_t id)
{
	const std::optional<std::span<const std::byte>> payload = payload_of(message);
	if (!payload || command_of(message) != CTRL_CMD_DELFAMILY)
		return false;
	return Attributes<CTRL_ATTR_MAX + 1>(*payload).u16(CTRL_ATTR_FAMILY_ID) == id;
}

/* ---- words ---- */

namespace
{

std::string in_time(const Event &event, const char *word)
{
	return event.duration_ns ? fmt::format("{}{}", word, human_ns(*event.duration_ns)) : "";
}

std::string amount_text(const Event &event)
{
	std::string out = human_bytes(event.bytes.value_or(0));
	if (event.total)
		out += fmt::format(" of about {}", human_bytes(*event.total));
	if (event.pages)
		out += fmt::format(", {} pages", *event.pages);
	if (event.zero_pages.value_or(0) > 0)
		out += fmt::format(", {} zero", *event.zero_pages);
	return out;
}

std::string begun_text(const Event &event)
{
	std::string out;
	if (event.cgroup)
		out += ", " + printable(*event.cgroup);
	if (event.pid.value_or(0) > 0)
		out += fmt::format(", by pid {}", *event.pid);
	return out.empty() ? out : out.substr(2);
}

std::string tasks_text(const Event &event)
{
	std::string out = fmt::format("{} tasks", event.tasks.value_or(0));
	if (event.objects)
		out += fmt::format(", {} objects", *event.objects);
	if (event.total)
		out += fmt::format(", about {}", human_bytes(*event.total));
	if (event.pid.value_or(0) > 0)
		out += fmt::format(", root pid {}", *event.pid);
	if (event.cgroup)
		out += fmt::format(", {}", printable(*event.cgroup));
	return out + in_time(event, ", in ");
}

std::string problem_text(const Event &event)
{
	if (!event.error)
		return {};
	if (event.error->code == KCKPT_E_NONE)
		return errno_name(event.error->err);
	std::string out(error_info(event.error->code).name);
	if (const std::string where = where_text(*event.error); !where.empty())
		out += ", " + where;
	if (event.errors.value_or(0) > 1)
		out += fmt::format(", and {} more", *event.errors - 1);
	return out;
}

std::string details_text(const Event &event)
{
	switch (event.what) {
	case KCKPT_EVENT_BEGUN: return begun_text(event);
	case KCKPT_EVENT_CAPTURED:
	case KCKPT_EVENT_INSTANTIATED: return tasks_text(event);
	case KCKPT_EVENT_PROGRESS:
	case KCKPT_EVENT_SAVED:
	case KCKPT_EVENT_COMPLETE: return amount_text(event);
	case KCKPT_EVENT_FROZEN:
	case KCKPT_EVENT_COMMITTED: return in_time(event, "in ");
	case KCKPT_EVENT_THAWED: return in_time(event, "after ");
	case KCKPT_EVENT_FAILED:
	case KCKPT_EVENT_EXPIRED: return problem_text(event);
	default: return {};
	}
}

template <class T> void put(nlohmann::ordered_json &json, const char *name, const std::optional<T> &value)
{
	if (value)
		json[name] = *value;
}

} // namespace

std::string event_word(uint32_t what)
{
	return word_of(event_words, what);
}

std::optional<uint32_t> event_of(std::string_view word)
{
	for (uint32_t what = KCKPT_EVENT_NONE + 1; what < KCKPT_EVENT_END; what++) {
		if (event_words[what] == word)
			return what;
	}
	return {};
}

std::string event_text(const Event &event)
{
	const uint64_t us = event.time_ns / 1000;
	std::string out = fmt::format("[{:5}.{:06}] {} {}: {}", us / 1'000'000, us % 1'000'000, event.session,
				      word_of(operation_words, event.operation), event_word(event.what));
	const std::string details = details_text(event);
	return details.empty() ? out : out + ": " + details;
}

nlohmann::ordered_json event_json(const Event &event)
{
	nlohmann::ordered_json json = {{"event", event_word(event.what)},
				       {"session", event.session},
				       {"time_ns", event.time_ns},
				       {"operation", word_of(operation_words, event.operation)}};
	put(json, "pid", event.pid);
	put(json, "cgroup", event.cgroup);
	put(json, "cgroup_id", event.cgroup_id);
	put(json, "tasks", event.tasks);
	put(json, "objects", event.objects);
	put(json, "bytes", event.bytes);
	put(json, "total_bytes", event.total);
	put(json, "pages", event.pages);
	put(json, "zero_pages", event.zero_pages);
	put(json, "duration_ns", event.duration_ns);
	if (event.state)
		json["state"] = word_of(state_words, *event.state);
	if (event.error && event.error->code == KCKPT_E_NONE)
		json["error"] = {{"errno", errno_name(event.error->err)}};
	else if (event.error)
		json["error"] = problem_json(*event.error);
	put(json, "errors", event.errors);
	return json;
}

/* ---- the socket ---- */

namespace
{

Error socket_error(const char *what, int err)
{
	return {KCKPT_E_SYSTEM_CALL, err, fmt::format("generic netlink, {}: {}", what, std::strerror(err))};
}

bool join(mnl_socket *socket, uint32_t group)
{
	return mnl_socket_setsockopt(socket, NETLINK_ADD_MEMBERSHIP, &group, sizeof(group)) == 0;
}

/* Each message of a datagram, as long as they are whole. */
template <class Visit> void for_each_message(std::span<const std::byte> datagram, Visit visit)
{
	while (datagram.size() >= sizeof(struct nlmsghdr)) {
		const auto *head = reinterpret_cast<const struct nlmsghdr *>(datagram.data());
		if (head->nlmsg_len < sizeof(*head) || head->nlmsg_len > datagram.size())
			return;
		visit(*head, datagram.first(head->nlmsg_len));
		datagram = datagram.subspan(std::min<size_t>(MNL_ALIGN(head->nlmsg_len), datagram.size()));
	}
}

/* The errno in an NLMSG_ERROR, positive; 0: an acknowledgement. */
int error_of(std::span<const std::byte> message)
{
	struct nlmsgerr error = {};
	if (message.size() < MNL_NLMSG_HDRLEN + sizeof(error.error))
		return EBADMSG;
	std::memcpy(&error.error, message.data() + MNL_NLMSG_HDRLEN, sizeof(error.error));
	return -error.error;
}

} // namespace

void EventSocket::Close::operator()(mnl_socket *socket) const
{
	mnl_socket_close(socket);
}

int EventSocket::fd() const
{
	return mnl_socket_get_fd(socket_.get());
}

Result<EventFamily> EventSocket::resolve(mnl_socket *socket)
{
	alignas(MNL_ALIGNTO) std::array<std::byte, receive_size> buffer = {};
	struct nlmsghdr *head = mnl_nlmsg_put_header(buffer.data());
	head->nlmsg_type = GENL_ID_CTRL;
	head->nlmsg_flags = NLM_F_REQUEST;
	head->nlmsg_seq = resolve_sequence;
	auto *command = static_cast<struct genlmsghdr *>(mnl_nlmsg_put_extra_header(head, sizeof(struct genlmsghdr)));
	command->cmd = CTRL_CMD_GETFAMILY;
	command->version = 1;
	mnl_attr_put_strz(head, CTRL_ATTR_FAMILY_NAME, KCKPT_GENL_NAME);
	if (mnl_socket_sendto(socket, head, head->nlmsg_len) < 0)
		return failure(socket_error("send", errno));

	for (;;) {
		const ssize_t got = mnl_socket_recvfrom(socket, buffer.data(), buffer.size());
		if (got < 0 && errno == ENOBUFS)
			continue; /* of what others do with their families */
		if (got < 0)
			return failure(socket_error("receive", errno));
		std::optional<EventFamily> family;
		int err = 0;
		bool answered = false;
		for_each_message(std::span(buffer).first(static_cast<size_t>(got)),
				 [&](const auto &answer, auto bytes) {
					 if (answer.nlmsg_seq != resolve_sequence)
						 return;
					 answered = true;
					 if (answer.nlmsg_type == NLMSG_ERROR)
						 err = error_of(bytes);
					 else
						 family = parse_family(bytes);
				 });
		if (family)
			return *family;
		if (err == ENOENT)
			return failure(KCKPT_E_MODULE_MISSING, 0, "generic netlink family " KCKPT_GENL_NAME);
		if (answered)
			return failure(socket_error("family " KCKPT_GENL_NAME, err ? err : EBADMSG));
	}
}

Result<EventSocket> EventSocket::open()
{
	Socket socket(mnl_socket_open2(NETLINK_GENERIC, SOCK_CLOEXEC));
	if (!socket || mnl_socket_bind(socket.get(), 0, MNL_SOCKET_AUTOPID) < 0)
		return failure(socket_error("socket", errno));
	/* With less, more may get lost; that is told. */
	setsockopt(mnl_socket_get_fd(socket.get()), SOL_SOCKET, SO_RCVBUFFORCE, &socket_buffer, sizeof(socket_buffer));

	/* The controller's own group first: the module may go at any time. */
	if (!join(socket.get(), GENL_ID_CTRL))
		return failure(socket_error("group notify", errno));
	Result<EventFamily> family = resolve(socket.get());
	if (!family)
		return pass(family);
	if (join(socket.get(), family->group))
		return EventSocket(std::move(socket), *family);
	if (errno == EPERM)
		return failure(KCKPT_E_NOT_PERMITTED, EPERM, "the events of the module");
	return failure(socket_error("group " KCKPT_GENL_GROUP, errno));
}

Result<EventSocket::Received> EventSocket::receive()
{
	alignas(MNL_ALIGNTO) std::array<std::byte, receive_size> buffer;
	const ssize_t got = mnl_socket_recvfrom(socket_.get(), buffer.data(), buffer.size());
	Received received;
	if (got < 0 && errno == EINTR)
		return received;
	received.lost = got < 0 && (errno == ENOBUFS || errno == ENOSPC);
	if (got < 0 && !received.lost)
		return failure(socket_error("receive", errno));
	if (received.lost)
		return received;
	for_each_message(std::span(buffer).first(static_cast<size_t>(got)), [&](const auto &head, auto message) {
		if (head.nlmsg_type == GENL_ID_CTRL && tells_end(message, family_.id))
			received.end = true;
		if (head.nlmsg_type != family_.id)
			return;
		if (std::optional<Event> event = parse_event(message))
			received.events.push_back(std::move(*event));
		else
			received.lost = true; /* it cannot be told what it was */
	});
	return received;
}

} // namespace kckpt
