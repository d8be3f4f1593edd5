// An OAuth2 server (the npm package oidc-provider, given by its path) with the clients of the tests: "keeping" keeps its
// refresh token, "rotating" gets a new one with each access token. It prints its port, and a refresh token for each
// client's name that it reads. Arguments: the package, the mailbox, and the seconds that an access token lives.
import { createInterface } from "node:readline";
import { pathToFileURL } from "node:url";

console.info = console.warn; // the package's notices go to standard error
const [folder, mailbox, lifetime] = process.argv.slice(2);
const { Provider } = await import(pathToFileURL(`${folder}/lib/index.js`));
const SCOPE = "openid offline_access mail";
const say = (event) => console.log(JSON.stringify(event));

const provider = new Provider("http://127.0.0.1", {
  clients: [
    ...["keeping", "rotating"].map((id) => ({
      client_id: id,
      client_secret: "secret-of-the-relay",
      grant_types: ["client_credentials", "refresh_token", "authorization_code"],
      redirect_uris: ["https://signpost.example/authorized"],
      token_endpoint_auth_method: "client_secret_post",
    })),
    {
      client_id: "mailserver",
      client_secret: "secret-of-the-server",
      grant_types: [],
      redirect_uris: [],
      response_types: [],
    },
  ],
  scopes: SCOPE.split(" "),
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    introspection: { enabled: true, allowedPolicy: () => true },
    revocation: { enabled: true },
  },
  findAccount: (_, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  extraTokenClaims: () => ({ username: mailbox }),
  rotateRefreshToken: (ctx) => ctx.oidc.client.clientId === "rotating",
  ttl: { AccessToken: Number(lifetime), ClientCredentials: Number(lifetime), RefreshToken: 3600, Grant: 3600 },
});

async function refreshToken(clientId) {
  const grant = new provider.Grant({ clientId, accountId: mailbox });
  grant.addOIDCScope(SCOPE);
  const client = await provider.Client.find(clientId);
  const token = new provider.RefreshToken({
    accountId: mailbox,
    client,
    grantId: await grant.save(),
    gty: "authorization_code",
    scope: SCOPE,
  });
  return token.save();
}

provider.on("grant.success", (ctx) => say({ issued: ctx.oidc.params.grant_type }));
provider.on("grant.error", (_, error) => say({ refused: error.message }));
const server = provider.listen(0, "127.0.0.1", () => say({ port: server.address().port }));
createInterface({ input: process.stdin }).on("line", async (line) => say({ refresh_token: await refreshToken(line) }));
