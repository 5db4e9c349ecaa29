// SPDX-License-Identifier: GPL-2.0-only
#include "tests/image_builder.hh"

#include <fcntl.h>

#include <algorithm>
#include <cstddef>

#include "lib/digest.hh"

namespace kckpt
{

namespace
{

template <class T> std::span<const std::byte> bytes_of(const T &value)
{
	return std::as_bytes(std::span(&value, 1));
}

template <size_t N> void set_text(char (&field)[N], std::string_view text)
{
	std::memcpy(field, text.data(), std::min(text.size(), N));
}

} // namespace

ImageBuilder::ImageBuilder()
{
	struct kckpt_header start = {};
	std::memcpy(start.magic, KCKPT_IMAGE_MAGIC, sizeof(start.magic));
	start.major = KCKPT_IMAGE_MAJOR;
	start.minor = KCKPT_IMAGE_MINOR;
	start.header_size = sizeof(start);
	start.page_shift = 12;
	for (unsigned i = 0; i < sizeof(start.uuid); i++)
		start.uuid[i] = static_cast<char>(0x10 + i);
	start.realtime_ns = 1'700'000'000'000'000'000;
	start.nr_tasks = 1;
	set_text(start.arch, "x86_64");
	set_text(start.kernel, "6.1.0-test");
	set_text(start.host, "builder");
	edges_.push_back(0);
	append(bytes_of(start));
}

struct kckpt_header &ImageBuilder::header()
{
	/* The copy that is hashed must be the same. */
	meta_.clear();
	return *reinterpret_cast<struct kckpt_header *>(bytes_.data());
}

void ImageBuilder::append(std::span<const std::byte> bytes, bool is_page)
{
	bytes_.insert(bytes_.end(), bytes.begin(), bytes.end());
	if (!is_page)
		meta_.insert(meta_.end(), bytes.begin(), bytes.end());
}

void ImageBuilder::align(size_t alignment)
{
	append(Bytes((alignment - bytes_.size() % alignment) % alignment));
}

void ImageBuilder::row(uint16_t family, uint16_t kind, uint64_t object)
{
	rows_.push_back({bytes_.size(), object, family, kind, 0});
}

ImageBuilder &ImageBuilder::raw_record(uint16_t family, uint16_t kind, uint64_t object,
				       std::span<const std::byte> payload)
{
	if (family != KCKPT_F_stream) {
		nr_records_++;
		if (object != last_object_)
			row(family, kind, object);
		last_object_ = object;
	}
	edges_.push_back(bytes_.size());
	append(bytes_of(kckpt_record{family, kind, static_cast<uint32_t>(payload.size()), object}));
	append(payload);
	align(8);
	return *this;
}

ImageBuilder &ImageBuilder::end_records()
{
	if (meta_.size() < bytes_.size())
		meta_ = bytes_;
	struct kckpt_end_rec end = {};
	end.digest = Digest::of(bytes_);
	end.nr_records = nr_records_;
	end.nr_objects = last_object_;
	return record(0, end);
}

ImageBuilder &ImageBuilder::from_parent(uint64_t mm, uint64_t source, const std::vector<struct kckpt_page_run> &runs)
{
	const struct kckpt_parent_rec rec = {source, static_cast<uint32_t>(runs.size()), 0};
	row(KCKPT_F_stream, KCKPT_K_parent, mm);
	const auto tail = std::as_bytes(std::span(runs));
	return record(mm, rec, {reinterpret_cast<const char *>(tail.data()), tail.size()});
}

ImageBuilder &ImageBuilder::shares(uint64_t mm, const std::vector<struct kckpt_share_run> &runs)
{
	const struct kckpt_shares_rec rec = {static_cast<uint32_t>(runs.size()), 0};
	row(KCKPT_F_stream, KCKPT_K_shares, mm);
	const auto tail = std::as_bytes(std::span(runs));
	return record(mm, rec, {reinterpret_cast<const char *>(tail.data()), tail.size()});
}

ImageBuilder &ImageBuilder::pages(uint64_t mm, const std::vector<struct kckpt_page_run> &runs, unsigned char fill)
{
	struct kckpt_pages_rec batch = {};
	batch.nr_runs = static_cast<uint32_t>(runs.size());
	for (const struct kckpt_page_run &run : runs)
		batch.nr_data += run.flags & KCKPT_RUN_ZERO ? 0 : run.nr_pages;
	row(KCKPT_F_stream, KCKPT_K_pages, mm);
	const auto tail = std::as_bytes(std::span(runs));
	record(mm, batch, {reinterpret_cast<const char *>(tail.data()), tail.size()});
	if (batch.nr_data > 0)
		align(KCKPT_PAGE_SIZE);
	edges_.push_back(bytes_.size());
	append(Bytes(size_t(batch.nr_data) * KCKPT_PAGE_SIZE, std::byte{fill}), true);
	return *this;
}

Bytes ImageBuilder::finish()
{
	struct kckpt_trailer_rec trailer = {};
	trailer.digests_at = bytes_.size();
	std::vector<uint64_t> digests;
	for (size_t at = 0; at < trailer.digests_at; at += KCKPT_CHUNK_SIZE)
		digests.push_back(Digest::of(
			std::span(bytes_).subspan(at, std::min<size_t>(KCKPT_CHUNK_SIZE, trailer.digests_at - at))));

	const auto list = [&](auto fields, std::span<const std::byte> items) {
		record(0, fields, {reinterpret_cast<const char *>(items.data()), items.size()});
	};
	list(kckpt_digests_rec{digests.size()}, std::as_bytes(std::span(digests)));
	trailer.index_at = bytes_.size();
	list(kckpt_index_rec{rows_.size()}, std::as_bytes(std::span(rows_)));
	trailer.root = Digest::of(meta_);
	trailer.bytes = bytes_.size() + sizeof(struct kckpt_record) + sizeof(trailer);

	Digest self;
	self.feed(bytes_of(kckpt_record{KCKPT_F_stream, KCKPT_K_trailer, sizeof(trailer), 0}));
	self.feed(bytes_of(trailer).first(offsetof(struct kckpt_trailer_rec, self)));
	trailer.self = self.value();
	record(0, trailer);
	return bytes_;
}

namespace
{

void add_memory(ImageBuilder &image, uint64_t mm, uint64_t exe)
{
	struct kckpt_mm_rec memory = {};
	memory.exe = exe;
	memory.nr_areas = 2;
	memory.auxv_len = 16;
	image.record(mm, memory, std::string_view("0123456789abcdef"));
	struct kckpt_vma_rec text = {};
	text.start = 0x400000;
	text.end = 0x402000;
	text.file = exe;
	text.prot = 5;
	struct kckpt_vma_rec heap = {};
	heap.start = 0x10000000;
	heap.end = 0x20000000;
	heap.prot = 3;
	image.record(mm, text).record(mm, heap);
}

void add_files(ImageBuilder &image, uint64_t files, uint64_t regular, uint64_t pipe)
{
	struct kckpt_file_rec log = {};
	log.target = regular;
	log.pos = 4096;
	log.open_flags = O_WRONLY | O_APPEND;
	struct kckpt_file_rec end = {};
	end.target = pipe;
	struct kckpt_file_rec outside = {};
	outside.open_flags = O_RDWR;
	outside.file_flags = KCKPT_FILE_INHERIT | KCKPT_FILE_READ | KCKPT_FILE_WRITE;
	set_text(outside.inherit, "7");
	image.record(files + 1, log).record(files + 2, end).record(files + 3, outside);
}

ImageBuilder with_records()
{
	enum : uint64_t { process = 1, task, cpu, cred, exe, mm, cwd, pipe, files, log, end, outside };
	ImageBuilder image;
	struct kckpt_process_rec leader = {};
	leader.leader = task;
	leader.mm = mm;
	leader.pid = 4121;
	leader.nr_threads = 1;
	image.record(process, leader);
	struct kckpt_task_rec thread = {};
	thread.process = process;
	thread.cpu = cpu;
	thread.cred = cred;
	thread.fs = cwd;
	thread.files = files;
	thread.tid = 4121;
	set_text(thread.comm, "nginx");
	image.record(task, thread);
	image.record(cpu, kckpt_cpu_rec{});
	image.record(cred, kckpt_cred_rec{});

	struct kckpt_path_rec binary = {};
	binary.size = 123456;
	binary.mode = 0100755;
	binary.path_len = 15;
	image.record(exe, binary, "/usr/sbin/nginx");
	add_memory(image, mm, exe);
	struct kckpt_fs_rec fs = {};
	fs.umask = 022;
	fs.cwd_len = 8;
	image.record(cwd, fs, "/var/www");

	struct kckpt_pipe_rec ring = {};
	ring.max_usage = 16;
	ring.nr_data = 1;
	struct kckpt_pipe_data_rec unread = {};
	unread.len = 5;
	image.record(pipe, ring).record(pipe, unread, "hello");
	struct kckpt_files_rec table = {};
	table.nr_fds = 3;
	image.record(files, table);
	for (uint32_t i = 0; i < 3; i++) {
		struct kckpt_fd_rec fd = {};
		fd.file = log + i;
		fd.fd = i + 1;
		fd.fd_flags = i == 1 ? FD_CLOEXEC : 0;
		image.record(files, fd);
	}
	add_files(image, files, exe, pipe);
	return image;
}

constexpr uint64_t mm_object = 6;

} // namespace

ImageBuilder small_image()
{
	ImageBuilder image = with_records();
	image.end_records();
	image.pages(mm_object, {{0x10000000, 1, 0}, {0x10005000, 1, 0}, {0x10010000, 8, KCKPT_RUN_ZERO}});
	image.pages(mm_object, {{0x400000, 1, KCKPT_RUN_ZERO}});
	return image;
}

ImageBuilder big_image(unsigned nr_batches)
{
	ImageBuilder image = with_records();
	image.end_records();
	for (unsigned i = 0; i < nr_batches; i++)
		image.pages(mm_object,
			    {{0x10000000 + i * uint64_t(KCKPT_MAX_BATCH) * KCKPT_PAGE_SIZE, KCKPT_MAX_BATCH, 0}},
			    static_cast<unsigned char>(i + 1));
	return image;
}

} // namespace kckpt
