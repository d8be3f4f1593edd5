// Sends a mail several times through the official library of an e-mail provider, and prints a result for each.
// Usage: node email_sdks.js PROVIDER BASE_URL KEY TIMES, with the mail as JSON on standard input.

const fs = require("node:fs");

const [provider, url, key, times] = process.argv.slice(2);
const mail = JSON.parse(fs.readFileSync(0, "utf-8"));
const from = `${mail.from.name} <${mail.from.email}>`;

const senders = {
  brevo() {
    const { BrevoClient } = require("@getbrevo/brevo");
    const client = new BrevoClient({ apiKey: key, baseUrl: `${url}/v3`, maxRetries: 0 });
    return async () => {
      const sent = await client.transactionalEmails.sendTransacEmail({
        sender: mail.from,
        to: [{ email: mail.to }],
        subject: mail.subject,
        textContent: mail.text,
        htmlContent: mail.html,
        headers: mail.headers,
      });
      return sent.messageId;
    };
  },

  mailgun() {
    const Mailgun = require("mailgun.js");
    const client = new (Mailgun.default ?? Mailgun)(FormData).client({ username: "api", key, url });
    return async () => {
      const sent = await client.messages.create("mg.example.org", {
        to: mail.to,
        message: mail.mime,
        "o:tracking": "no",
        "v:signpost_message_id": mail.id,
      });
      return sent.id;
    };
  },

  postmark() {
    const { ServerClient } = require("postmark");
    const client = new ServerClient(key, { useHttps: false, requestHost: new URL(url).host });
    return async () => {
      const sent = await client.sendEmail({
        From: from,
        To: mail.to,
        Subject: mail.subject,
        TextBody: mail.text,
        HtmlBody: mail.html,
        Headers: Object.entries(mail.headers).map(([Name, Value]) => ({ Name, Value })),
        Metadata: { signpost_message_id: mail.id },
        MessageStream: "outbound",
        TrackOpens: false,
        TrackLinks: "None",
      });
      return sent.MessageID;
    };
  },

  resend() {
    const { Resend } = require("resend");
    const client = new Resend(key, { baseUrl: url });
    return async () => {
      const content = {
        from,
        to: [mail.to],
        subject: mail.subject,
        text: mail.text,
        html: mail.html,
        headers: mail.headers,
        tags: [{ name: "signpost_message_id", value: mail.id }],
      };
      const { data, error } = await client.emails.send(content, { idempotencyKey: mail.idempotencyKey });
      if (error) throw error;
      return data.id;
    };
  },

  sendgrid() {
    const { MailService } = require("@sendgrid/mail");
    const { Client } = require("@sendgrid/client");
    const client = new Client();
    const service = new MailService();
    service.setClient(client);
    service.setApiKey(key);
    client.setDefaultRequest("baseUrl", url);
    return async () => {
      const [response] = await service.send({
        from: mail.from,
        personalizations: [{ to: [{ email: mail.to }], customArgs: { signpost_message_id: mail.id } }],
        subject: mail.subject,
        content: [
          { type: "text/plain", value: mail.text },
          { type: "text/html", value: mail.html },
        ],
        headers: mail.headers,
        trackingSettings: {
          clickTracking: { enable: false, enableText: false },
          openTracking: { enable: false },
          subscriptionTracking: { enable: false },
        },
      });
      return response.headers["x-message-id"];
    };
  },
};

// Each library has its own names for the status, the code and the text of a refusal.
const refusals = {
  brevo: (error) => [error.statusCode, error.body.code, error.body.message],
  mailgun: (error) => [error.status, "", error.details],
  postmark: (error) => [error.statusCode, error.code, error.message],
  resend: (error) => [error.statusCode, error.name, error.message],
  sendgrid: (error) => [error.code, error.response.body.errors[0].field ?? "", error.response.body.errors[0].message],
};

async function main() {
  const send = senders[provider]();
  for (let time = 0; time < Number(times); time++) {
    const result = await send().then(
      (id) => ({ id }),
      (error) => ({ refusal: refusals[provider](error) }),
    );
    console.log(JSON.stringify(result));
  }
}

main();
