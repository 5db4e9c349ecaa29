// SPDX-License-Identifier: GPL-2.0-only
#include "lib/events.hh"

#include <libmnl/libmnl.h>
#include <linux/genetlink.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <functional>
#include <vector>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

namespace kckpt
{

namespace
{

/* A message of its exact size on the heap, so that a byte read beyond it is noticed. */
class Message
{
public:
	Message(uint8_t command, const std::function<void(nlmsghdr *)> &put)
	{
		alignas(4) std::array<char, 8192> room = {};
		nlmsghdr *head = mnl_nlmsg_put_header(room.data());
		head->nlmsg_type = 30;
		auto *generic = static_cast<genlmsghdr *>(mnl_nlmsg_put_extra_header(head, sizeof(genlmsghdr)));
		generic->cmd = command;
		put(head);
		const auto *bytes = reinterpret_cast<const std::byte *>(head);
		bytes_.assign(bytes, bytes + head->nlmsg_len);
	}

	std::span<std::byte> bytes() { return bytes_; }
	nlmsghdr &head() { return *reinterpret_cast<nlmsghdr *>(bytes_.data()); }
	nlattr &first() { return *reinterpret_cast<nlattr *>(bytes_.data() + 20); }
	std::vector<std::byte> part(size_t size) const { return {bytes_.begin(), bytes_.begin() + long(size)}; }

private:
	std::vector<std::byte> bytes_;
};

void put_common(nlmsghdr *head, uint32_t operation)
{
	mnl_attr_put_u64(head, KCKPT_A_SESSION, 7);
	mnl_attr_put_u64(head, KCKPT_A_TIME, 12'345'678'901);
	mnl_attr_put_u32(head, KCKPT_A_OPERATION, operation);
}

Message failed_message()
{
	return {KCKPT_EVENT_FAILED, [](nlmsghdr *head) {
			put_common(head, KCKPT_OP_FREEZE);
			mnl_attr_put_u32(head, KCKPT_A_STATE, KCKPT_FROZEN);
			mnl_attr_put_u32(head, KCKPT_A_ERROR_CODE, KCKPT_E_FILE_KIND);
			mnl_attr_put_u32(head, KCKPT_A_ERROR_ERRNO, EOPNOTSUPP);
			mnl_attr_put_u32(head, KCKPT_A_ERROR_PID, 4121);
			mnl_attr_put_u32(head, KCKPT_A_ERROR_FD, 7);
			mnl_attr_put_strz(head, KCKPT_A_ERROR_COMM, "ng\ninx");
			mnl_attr_put_strz(head, KCKPT_A_ERROR_DETAIL, "anon_inode:[x]");
			mnl_attr_put_u32(head, KCKPT_A_ERRORS, 4);
		}};
}

Message captured_message()
{
	return {KCKPT_EVENT_CAPTURED, [](nlmsghdr *head) {
			put_common(head, KCKPT_OP_DUMP);
			mnl_attr_put_u32(head, KCKPT_A_TASKS, 3);
			mnl_attr_put_u32(head, KCKPT_A_OBJECTS, 17);
			mnl_attr_put_u64(head, KCKPT_A_TOTAL, 1536);
			mnl_attr_put_u64(head, KCKPT_A_DURATION, 1'500'000);
		}};
}

std::string text_of(Message message)
{
	const std::optional<Event> event = parse_event(message.bytes());
	return event ? event_text(*event) : "nothing";
}

} // namespace

TEST(Events, AreToldInALine)
{
	EXPECT_EQ(text_of(captured_message()),
		  "[   12.345678] 7 dump: captured: 3 tasks, 17 objects, about 1.5 KiB, in 1.5 ms");
	EXPECT_EQ(text_of(failed_message()), "[   12.345678] 7 freeze: failed: FILE_KIND, pid 4121 (ng\\ninx), fd 7: "
					     "anon_inode:[x], and 3 more");
	EXPECT_EQ(text_of({KCKPT_EVENT_BEGUN,
			   [](nlmsghdr *head) {
				   put_common(head, KCKPT_OP_FREEZE);
				   mnl_attr_put_strz(head, KCKPT_A_CGROUP, "/jobs/\x1bweb");
				   mnl_attr_put_u32(head, KCKPT_A_PID, 99);
			   }}),
		  "[   12.345678] 7 freeze: begun: /jobs/\\x1bweb, by pid 99");
	EXPECT_EQ(text_of({KCKPT_EVENT_PROGRESS,
			   [](nlmsghdr *head) {
				   put_common(head, KCKPT_OP_RESTORE);
				   mnl_attr_put_u64(head, KCKPT_A_BYTES, 4096);
				   mnl_attr_put_u64(head, KCKPT_A_PAGES, 1);
			   }}),
		  "[   12.345678] 7 restore: progress: 4.0 KiB, 1 pages");
	EXPECT_EQ(text_of({KCKPT_EVENT_CLOSED, [](nlmsghdr *head) { put_common(head, KCKPT_OP_DRY_RUN); }}),
		  "[   12.345678] 7 dry-run: closed");
}

TEST(Events, AreToldInJson)
{
	const auto captured = event_json(*parse_event(captured_message().bytes()));
	EXPECT_EQ(captured.dump(), R"({"event":"captured","session":7,"time_ns":12345678901,"operation":"dump",)"
				   R"("tasks":3,"objects":17,"total_bytes":1536,"duration_ns":1500000})");
	const auto failed = event_json(*parse_event(failed_message().bytes()));
	EXPECT_EQ(failed["state"], "frozen");
	EXPECT_EQ(failed["error"]["code"], "FILE_KIND");
	EXPECT_EQ(failed["error"]["pid"], 4121);
	EXPECT_EQ(failed["errors"], 4);
}

TEST(Events, WithoutAReportHaveAnErrno)
{
	const auto put = [](nlmsghdr *head) {
		put_common(head, KCKPT_OP_RESTORE);
		mnl_attr_put_u32(head, KCKPT_A_ERROR_CODE, 0);
		mnl_attr_put_u32(head, KCKPT_A_ERROR_ERRNO, EINVAL);
	};
	EXPECT_EQ(text_of({KCKPT_EVENT_FAILED, put}), "[   12.345678] 7 restore: failed: EINVAL");
	EXPECT_EQ(event_json(*parse_event(Message(KCKPT_EVENT_FAILED, put).bytes()))["error"]["errno"], "EINVAL");
}

TEST(Events, OfANewerModuleAreToldByNumber)
{
	EXPECT_EQ(text_of({200,
			   [](nlmsghdr *head) {
				   put_common(head, 77);
				   mnl_attr_put_u32(head, 5000, 1);
			   }}),
		  "[   12.345678] 7 77: 200");
	EXPECT_EQ(text_of({KCKPT_EVENT_CLOSED,
			   [](nlmsghdr *head) {
				   put_common(head, KCKPT_OP_DUMP);
				   mnl_attr_put_u32(head, KCKPT_A_STATE, 88);
			   }}),
		  "[   12.345678] 7 dump: closed");
}

TEST(Events, HaveWords)
{
	for (uint32_t what = KCKPT_EVENT_NONE + 1; what < KCKPT_EVENT_END; what++)
		EXPECT_EQ(event_of(event_word(what)), what);
	EXPECT_FALSE(event_of("none"));
	EXPECT_FALSE(event_of("frob"));
}

TEST(Events, WithoutSessionOrTimeAreNone)
{
	EXPECT_FALSE(parse_event(Message(1, [](nlmsghdr *) {}).bytes()));
	EXPECT_FALSE(
		parse_event(Message(1, [](nlmsghdr *head) { mnl_attr_put_u64(head, KCKPT_A_SESSION, 7); }).bytes()));
	EXPECT_FALSE(parse_event(Message(1, [](nlmsghdr *head) {
					 mnl_attr_put_u32(head, KCKPT_A_SESSION, 7); /* too short */
					 mnl_attr_put_u64(head, KCKPT_A_TIME, 7);
				 }).bytes()));
}

TEST(Events, CutAnywhereAreNoneOrLess)
{
	const Message whole = failed_message();
	const size_t size = failed_message().bytes().size();
	for (size_t i = 0; i < size; i++) {
		std::vector<std::byte> part = whole.part(i);
		EXPECT_FALSE(parse_event(part)) << i; /* its length says more */
		if (i < sizeof(nlmsghdr))
			continue;
		reinterpret_cast<nlmsghdr *>(part.data())->nlmsg_len = uint32_t(i);
		const std::optional<Event> event = parse_event(part);
		EXPECT_TRUE(!event || !event_text(*event).empty());
	}
}

TEST(Events, WithDamageAreReadWithinTheirBounds)
{
	const size_t size = failed_message().bytes().size();
	for (size_t i = 0; i < size * 8; i++) {
		Message message = failed_message();
		message.bytes()[i / 8] ^= std::byte(1 << (i % 8));
		if (const std::optional<Event> event = parse_event(message.bytes())) {
			EXPECT_FALSE(event_text(*event).empty());
			EXPECT_FALSE(event_json(*event)
					     .dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace)
					     .empty());
		}
		parse_family(message.bytes());
		tells_end(message.bytes(), 30);
	}
}

TEST(Events, WithLyingLengthsAreReadWithinTheirBounds)
{
	for (uint32_t length : {0U, 1U, 3U, 4U, 5U, 0xffffU}) {
		Message message = captured_message();
		message.first().nla_len = uint16_t(length);
		parse_event(message.bytes());
	}
	for (uint32_t length : {0U, 15U, 16U, 19U, 0x7fffffffU, 0xffffffffU}) {
		Message message = captured_message();
		message.head().nlmsg_len = length;
		EXPECT_FALSE(parse_event(message.bytes())) << length;
	}
}

TEST(Events, StringsWithoutEndAreCut)
{
	Message message(KCKPT_EVENT_BEGUN, [](nlmsghdr *head) {
		put_common(head, KCKPT_OP_FREEZE);
		mnl_attr_put(head, KCKPT_A_CGROUP, 4, "/abc");
	});
	EXPECT_EQ(parse_event(message.bytes())->cgroup, "/abc");
}

TEST(Events, FamilyAndGroupAreFound)
{
	const auto put = [](const char *group) {
		return [group](nlmsghdr *head) {
			mnl_attr_put_u16(head, CTRL_ATTR_FAMILY_ID, 31);
			nlattr *groups = mnl_attr_nest_start(head, CTRL_ATTR_MCAST_GROUPS);
			for (const char *name : {"other", group}) {
				nlattr *nest = mnl_attr_nest_start(head, 1);
				mnl_attr_put_u32(head, CTRL_ATTR_MCAST_GRP_ID, 12);
				mnl_attr_put_strz(head, CTRL_ATTR_MCAST_GRP_NAME, name);
				mnl_attr_nest_end(head, nest);
			}
			mnl_attr_nest_end(head, groups);
		};
	};
	Message good(CTRL_CMD_NEWFAMILY, put("events"));
	const std::optional<EventFamily> family = parse_family(good.bytes());
	ASSERT_TRUE(family);
	EXPECT_EQ(family->id, 31);
	EXPECT_EQ(family->group, 12);
	EXPECT_FALSE(parse_family(Message(CTRL_CMD_NEWFAMILY, put("none")).bytes()));
	EXPECT_FALSE(parse_family(Message(CTRL_CMD_NEWFAMILY, [](nlmsghdr *) {}).bytes()));
	EXPECT_TRUE(tells_end(Message(CTRL_CMD_DELFAMILY, put("events")).bytes(), 31));
	EXPECT_FALSE(tells_end(Message(CTRL_CMD_DELFAMILY, put("events")).bytes(), 30));
	EXPECT_FALSE(tells_end(good.bytes(), 31));
	for (size_t i = 0; i < good.bytes().size() * 8; i++) {
		Message damaged(CTRL_CMD_NEWFAMILY, put("events"));
		damaged.bytes()[i / 8] ^= std::byte(1 << (i % 8));
		parse_family(damaged.bytes());
	}
}

} // namespace kckpt
