/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/base/err.h"
#include "core/resolve/impl.h"
#include "core/sys/proc.h"

#define MESSAGES_MAX 4096u
#define OUTPUT_MAX (16u << 20)

static void
keep_message(void *ctx, const char *line, size_t n)
{
	struct buf *b = ctx;

	if (n > MESSAGES_MAX / 4)
		n = MESSAGES_MAX / 4;
	if (b->len + n + 1 > MESSAGES_MAX) {
		size_t cut = b->len / 2;

		memmove(b->p, b->p + cut, b->len - cut);
		buf_truncate(b, b->len - cut);
	}
	buf_add(b, line, n);
	buf_addc(b, '\n');
}

void
tool_result_release(struct tool_result *r)
{
	buf_release(&r->output);
	buf_release(&r->messages);
}

bool
tool_result_commit(const struct tool_result *r, char ret[41])
{
	if (r->exit_code != 0 || r->output.len != 41)
		return false;
	memcpy(ret, r->output.p, 40);
	ret[40] = '\0';
	return is_commit(ret);
}

uint64_t
tool_result_time(const struct tool_result *r)
{
	struct str s = {.p = r->output.p, .n = r->output.len};
	uint64_t t;

	if (s.n > 0 && s.p[s.n - 1] == '\n')
		s.n--;
	return r->exit_code == 0 && str_to_u64(s, UINT32_MAX, &t) ? t : 0;
}

int
tool_run(const struct resolve_options *o, const char *const *argv,
	 const char *const *envp, uint64_t timeout_s, struct tool_result *ret,
	 struct err *e)
{
	const struct proc_opts p = {
		.argv = argv,
		.envp = envp,
		.timeout_ms = timeout_s * 1000,
		.max_stdout = OUTPUT_MAX,
		.on_stderr = keep_message,
		.ctx = &ret->messages,
		.cancel = o->cancel,
	};
	struct proc_result res;

	buf_clear(&ret->messages);
	buf_release(&ret->output);
	if (proc_run(&p, &res, e) < 0) {
		if (e->kind == ERR_NOT_FOUND)
			e->kind = ERR_UPSTREAM;
		return -1;
	}
	ret->output = res.output;
	ret->exit_code = res.exit_code;
	if (res.cancelled)
		return err_set(e, ERR_BUSY, "the build was stopped");
	if (res.timed_out)
		return err_set(e, ERR_UPSTREAM, "%s did not end within %llu s",
			       argv[0], (unsigned long long)timeout_s);
	return 0;
}
